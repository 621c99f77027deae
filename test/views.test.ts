import {
  generateEncryptionKey,
  type ModelBody,
  type ModelDetails,
  type ModelInfoView,
  type ModelView,
  memoryStorage,
  type TeamInfo,
  TeamModelRouter,
} from 'team-model-router';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { gatewayFixture, masterKey, send } from './support/gateway.ts';

const body = {
  model_name: 'assistant',
  litellm_params: {
    model: 'azure/gpt-4o-eu',
    api_key: 'azure-key-0123456789abcb07',
    api_base: 'https://my-resource.openai.azure.com',
    api_version: { default: '2024-10-21', responses: 'preview' },
    timeout: 30,
    weight: 2,
    extra_headers: { 'x-team': 'a-header-value-0123456789' },
    extra_body: { user: 'u' },
    allow_fields: ['top_k'],
  },
  model_info: { mode: 'chat', description: 'ours', metadata: { owner: 'jane' } },
} satisfies ModelBody;

const open = () =>
  new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });

describe('the types of views', () => {
  it('name every field of litellm_params and model_info', () => {
    type Params = ModelView['litellm_params'];
    expectTypeOf<ModelInfoView['litellm_params']>().toEqualTypeOf<Params>();
    expectTypeOf<Params['model']>().toEqualTypeOf<string>();
    expectTypeOf<Params['api_key']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<Params['timeout']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Params['extra_headers']>().toEqualTypeOf<Record<string, string> | undefined>();
    expectTypeOf<Params['allow_fields']>().toEqualTypeOf<string[] | undefined>();
    expectTypeOf<Params>().not.toHaveProperty('no_such_field');
    expectTypeOf<keyof Params>().toEqualTypeOf<keyof ModelBody['litellm_params']>();
    expectTypeOf<ModelView['model_info']>().toEqualTypeOf<ModelDetails>();
    expectTypeOf<ModelDetails['id']>().toEqualTypeOf<string>();
    expectTypeOf<ModelDetails['team_public_model_name']>().toEqualTypeOf<string>();
    expectTypeOf<ModelDetails['mode']>().toExtend<string | undefined>();
    expectTypeOf<ModelDetails>().not.toHaveProperty('no_such_field');
    expectTypeOf<ModelInfoView['created_at']>().toEqualTypeOf<string>();
    expectTypeOf<ModelInfoView['updated_by']>().toEqualTypeOf<string>();
    expectTypeOf<TeamInfo['team_info']['litellm_model_table']['model_aliases']>().toEqualTypeOf<
      Record<string, string>
    >();
  });

  it('refuse a field that a view does not have', () => {
    const read = (view: ModelView) => {
      // @ts-expect-error: it is called api_base
      expect(view.litellm_params.apiBase).toBeUndefined();
      // @ts-expect-error: it is called created_at
      expect(view.model_info.createdAt).toBeUndefined();
    };
    expect(read).toBeTypeOf('function');
  });
});

describe('addModel, updateModel, getModel and listModels', () => {
  it('show the same parameters, details and stamps', async () => {
    const router = open();
    const added = await router.addModel('acme', body, { userId: 'jane' });
    const { model_id: _, model_name: internal, ...shown } = added;
    expect(shown.litellm_params).toEqual({
      ...body.litellm_params,
      api_key: '...cb07',
      extra_headers: { 'x-team': '...6789' },
    });
    expect(shown).toMatchObject({ created_by: 'jane', updated_by: 'jane' });
    expect(await router.getModel('acme', added.model_id)).toEqual(added);
    const [listed] = (await router.listModels('acme')).data;
    expect(listed).toEqual({ ...shown, model_name: 'assistant' });

    const updated = await router.updateModel(
      'acme',
      added.model_id,
      { litellm_params: { weight: 3 } },
      { userId: 'joe' },
    );
    expect(updated).toMatchObject({ created_by: 'jane', created_at: added.created_at, updated_by: 'joe' });
    expect(updated.model_name).toBe(internal);
    expect((await router.listModels('acme')).data[0]).toMatchObject({
      created_by: 'jane',
      updated_by: 'joe',
      updated_at: updated.updated_at,
    });
    await router.close();
  });

  it('have the public name in model_info.team_public_model_name, also after a rename', async () => {
    const router = open();
    const added = await router.addModel('acme', body);
    const names = async (view: ModelView) => [
      view.model_info.team_public_model_name,
      (await router.getModel('acme', view.model_id)).model_info.team_public_model_name,
      ...(await router.listModels('acme')).data.map(({ model_info }) => model_info.team_public_model_name),
      ...Object.keys((await router.getTeamInfo('acme')).team_info.litellm_model_table.model_aliases),
    ];
    expect(new Set(await names(added))).toEqual(new Set(['assistant']));
    const renamed = await router.updateModel('acme', added.model_id, { model_name: 'helper' });
    expect(new Set(await names(renamed))).toEqual(new Set(['helper']));
    const shared = await router.addSharedModel(body);
    expect(shared.model_info).toMatchObject({ team_id: null, team_public_model_name: 'assistant' });
    expect((await router.listSharedModels()).data[0]).toMatchObject({
      model_info: { team_public_model_name: 'assistant' },
      created_at: shared.created_at,
      updated_at: shared.updated_at,
    });
    await router.close();
  });

  it('say the same over HTTP', async () => {
    const { router, gateway } = gatewayFixture();
    await router.addModel('acme', body, { userId: 'jane' });
    const { json } = await send(gateway, 'GET /v2/model/info?team_id=acme', { key: masterKey });
    expect(json).toMatchObject(JSON.parse(JSON.stringify(await router.listModels('acme'))) as object);
    expect(json).toMatchObject({ data: [{ created_by: 'jane', created_at: expect.any(String) }] });
    await router.close();
  });
});
