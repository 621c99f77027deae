import type {
  KeyBody,
  KeyView,
  ModelBody,
  ModelView,
  NewKey,
  TeamInfo,
  TeamModelRouter,
  TeamPatch,
  TeamPrincipal,
  TeamView,
} from 'team-model-router';
import type { Authenticate, GatewayOptions, Principal } from 'team-model-router/http';
import { describe, expectTypeOf, it } from 'vitest';

describe('management', () => {
  it('resolves to the documented views', () => {
    expectTypeOf<TeamModelRouter['addModel']>().returns.resolves.toEqualTypeOf<ModelView>();
    expectTypeOf<TeamModelRouter['getTeamInfo']>().returns.resolves.toEqualTypeOf<TeamInfo>();
    expectTypeOf<TeamModelRouter['createTeam']>().returns.resolves.toEqualTypeOf<TeamView>();
    expectTypeOf<TeamModelRouter['createKey']>().returns.resolves.toEqualTypeOf<NewKey>();
    expectTypeOf<TeamModelRouter['verifyKey']>().returns.resolves.toEqualTypeOf<TeamPrincipal>();
  });

  it('shows a key only in the view of a new one', () => {
    expectTypeOf<NewKey>().toHaveProperty('key').toEqualTypeOf<string>();
    expectTypeOf<KeyView>().not.toHaveProperty('key');
  });

  it('maps each public name of a team to its internal name', () => {
    expectTypeOf<TeamInfo['team_info']['litellm_model_table']>().not.toBeAny();
    expectTypeOf<ModelView['model_info']['team_id']>().toEqualTypeOf<string | null>();
    expectTypeOf<ModelView['litellm_params']['model']>().toEqualTypeOf<string>();
  });
});

describe('bodies', () => {
  it('need the fields that have no default, and take null for the others', () => {
    expectTypeOf<{ model_name: string }>().not.toExtend<ModelBody>();
    expectTypeOf<{ model_name: string; litellm_params: { model: string } }>().toExtend<ModelBody>();
    expectTypeOf<{
      model_name: string;
      litellm_params: { model: string; api_key: null };
      model_info: null;
    }>().toExtend<ModelBody>();
    expectTypeOf<{ models: null; duration: null }>().toExtend<KeyBody>();
    expectTypeOf<{ settings: { timeout: null } }>().toExtend<TeamPatch>();
  });

  it('take no other type for a field', () => {
    expectTypeOf<{ model_name: number; litellm_params: { model: string } }>().not.toExtend<ModelBody>();
    expectTypeOf<{ key_type: 'admin' }>().not.toExtend<KeyBody>();
    expectTypeOf<{ blocked: 'yes' }>().not.toExtend<TeamPatch>();
  });
});

describe('gateway', () => {
  it('takes a principal from authenticate, or nothing for a refusal', () => {
    expectTypeOf<GatewayOptions['authenticate']>().toEqualTypeOf<Authenticate | undefined>();
    expectTypeOf<Principal>().toExtend<NonNullable<Awaited<ReturnType<Authenticate>>>>();
    expectTypeOf<{ teamId: string }>().not.toExtend<Principal>();
  });
});
