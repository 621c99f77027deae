import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { allowListChange, teamBody, teamId as teamIdSchema, teamPatch } from '../../schemas/bodies.ts';
import type { TeamBody, TeamPatch } from '../../schemas/body-types.ts';
import { parse } from '../../schemas/parse.ts';
import type { Storage } from '../../storage/storage.ts';
import { removeIdEntry } from '../records/id-index.ts';
import { listRecords, pageOptions, type UnreadableTeam } from '../records/listing.ts';
import type { RecordStore } from '../records/record-store.ts';
import {
  keyPointerKey,
  modelPointerKey,
  newRecord,
  recordKey,
  type TeamRecord,
} from '../records/team-record.ts';
import { type Actor, stampOf } from './actor.ts';
import { tokensOf } from './edit-key.ts';
import { nameCheck, patchSettings, type Shared } from './edit-settings.ts';
import { type ListedTeam, listedTeam, type TeamInfo, type TeamView, teamInfo, teamView } from './views.ts';

/**
 * Options of `listTeams`.
 *
 * @example
 * ```ts
 * const options: ListTeamsOptions = { limit: 100, keys: true };
 * const { teams, cursor } = await router.listTeams(options);
 * ```
 */
export interface ListTeamsOptions {
  /** Cursor of the previous page; absent for the first page. */
  cursor?: string;
  /** From 1 to 1 000, default 100. */
  limit?: number;
  /** Whether to include each team's keys. Default false. */
  keys?: boolean;
}

/**
 * One page of all teams.
 *
 * @example
 * ```ts
 * const page: TeamPage = await router.listTeams();
 * for (const { team_id } of page.teams) console.log(team_id);
 * ```
 */
export interface TeamPage {
  teams: ListedTeam[];
  /** Teams of this page whose records cannot be read. Absent if every record can be read. */
  unreadable?: UnreadableTeam[];
  /** Absent on the last page. */
  cursor?: string;
}

const listOptions = pageOptions.extend({ keys: z.boolean().optional() });

const plainId = /^[\w.@-]{1,256}$/;

/** Validates a team's id. Rejects an empty id, which never means "shared". */
export function checkTeamId(teamId: string): string {
  // The fast path skips the schema for plain ids, with the same result.
  if (typeof teamId === 'string' && plainId.test(teamId)) return teamId;
  const result = teamIdSchema.safeParse(teamId);
  if (result.success) return result.data;
  const reason = result.error.issues[0]?.message ?? 'is not valid';
  throw new RouterError('invalid_request', `team_id: ${reason}`, { param: 'team_id' });
}

export function teamNotFound(teamId: string): RouterError {
  return new RouterError('team_not_found', `Team ${JSON.stringify(teamId)} not found.`, {
    param: 'team_id',
  });
}

/** Creates, changes, lists and deletes teams' records, except for their models. */
export class TeamService {
  readonly #records: RecordStore;
  readonly #storage: Storage;

  constructor(records: RecordStore, storage: Storage) {
    this.#records = records;
    this.#storage = storage;
  }

  async create(given: TeamBody, actor?: Actor): Promise<TeamView> {
    const body = parse(teamBody, given);
    const teamId = body.team_id ?? randomUUID();
    const stamp = stampOf(actor);
    const shared = await this.#sharedFor(body);
    return this.#records.change(teamId, (existing) => {
      if (existing !== undefined) {
        throw new RouterError('already_exists', `Team ${JSON.stringify(teamId)} already exists.`, {
          param: 'team_id',
        });
      }
      const record = apply(newRecord(teamId, stamp.at, stamp.by), body, shared);
      return { record, result: teamView(record) };
    });
  }

  async update(given: string, patch: TeamPatch, actor?: Actor): Promise<TeamView> {
    const teamId = checkTeamId(given);
    const body = parse(teamPatch, patch);
    if (body.team_id !== undefined && body.team_id !== teamId) {
      throw new RouterError('invalid_request', 'team_id: must be the id of the changed team', {
        param: 'team_id',
      });
    }
    const stamp = stampOf(actor);
    const shared = await this.#sharedFor(body);
    return this.#records.change(teamId, (existing) => {
      if (existing === undefined) throw teamNotFound(teamId);
      const record = apply({ ...existing, updated_at: stamp.at, updated_by: stamp.by }, body, shared);
      return { record, result: teamView(record) };
    });
  }

  /** Returns the shared deployments if fallbacks may name them, or the error of their record if it is damaged. */
  async #sharedFor({ settings }: Changes): Promise<Shared> {
    if (!settings?.fallbacks) return undefined;
    return this.#records.read(null).catch((error: unknown) => {
      if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
      return error;
    });
  }

  /**
   * Adds names to the allow-list of shared models, and removes names from it. Leaves the other names unchanged.
   */
  async changeAllowed(
    given: string,
    change: { add?: readonly string[]; remove?: readonly string[] },
    actor?: Actor,
  ): Promise<TeamView> {
    const teamId = checkTeamId(given);
    const { add, remove } = parse(allowListChange, change);
    const stamp = stampOf(actor);
    return this.#records.change(teamId, (existing) => {
      if (existing === undefined) throw teamNotFound(teamId);
      const models = new Set([...existing.models, ...(add ?? [])]);
      for (const name of remove ?? []) models.delete(name);
      const record = { ...existing, models: [...models], updated_at: stamp.at, updated_by: stamp.by };
      return { record, result: teamView(record) };
    });
  }

  /** Deletes a team with its models, keys and aliases. Also deletes a record that cannot be read. */
  async delete(given: string): Promise<{ deleted_teams: string[] }> {
    const teamId = checkTeamId(given);
    const gone = await this.#records
      .change<TeamRecord | undefined>(teamId, (existing) => {
        if (existing === undefined) throw teamNotFound(teamId);
        return { record: undefined, result: existing };
      })
      .catch(async (error: unknown) => {
        if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
        await this.#records.discard(recordKey(teamId));
        return undefined;
      });
    if (gone === undefined) return { deleted_teams: [teamId] };
    for (const token of gone.keys.flatMap(tokensOf)) await removeIdEntry(this.#storage, keyPointerKey(token));
    for (const [, pool] of gone.pools) {
      for (const { id } of pool.deployments) await removeIdEntry(this.#storage, modelPointerKey(id));
    }
    return { deleted_teams: [teamId] };
  }

  async list(options?: ListTeamsOptions): Promise<TeamPage> {
    const { keys = false, ...page } = parse(listOptions, options ?? {});
    const { views, ...rest } = await listRecords(this.#storage, page, (record) => listedTeam(record, keys));
    return { teams: views, ...rest };
  }

  /**
   * Returns the stored text of a record (`null`: of the shared models), even if it cannot be read. Its secrets
   * are sealed.
   */
  async export<Id extends string | null>(given: Id): Promise<{ team_id: Id; record: string }> {
    if (given !== null) checkTeamId(given);
    const stored = await this.#storage.get(recordKey(given));
    if (stored === undefined || stored === 'unchanged') throw teamNotFound(given ?? 'shared');
    return { team_id: given, record: stored.value };
  }

  /** Deletes a record that cannot be read, and returns its text. */
  async deleteUnreadable(key: string): Promise<{ key: string; record: string }> {
    const { data } = z.string().min(1).max(4_096).safeParse(key);
    if (data === undefined)
      throw new RouterError('invalid_request', 'key: must be the key of a record.', { param: 'key' });
    const record = await this.#records.discard(data);
    if (record === undefined)
      throw new RouterError('not_found', 'key: not found.', {
        param: 'key',
        hint: 'listTeams lists the keys of unreadable records in `unreadable`.',
      });
    return { key: data, record };
  }

  async info(given: string): Promise<TeamInfo> {
    const teamId = checkTeamId(given);
    const record = await this.#records.read(teamId);
    if (record === undefined) throw teamNotFound(teamId);
    return teamInfo(record);
  }
}

type Changes = {
  [Field in 'team_alias' | 'models' | 'metadata' | 'blocked' | 'settings']?: TeamPatch[Field];
};

/** Applies changes to a record. Throws before it changes anything. */
function apply(record: TeamRecord, changes: Changes, shared: Shared): TeamRecord {
  const next = { ...record };
  if (changes.team_alias !== undefined) next.team_alias = changes.team_alias;
  if (changes.models !== undefined) next.models = [...new Set(changes.models ?? [])];
  if (changes.metadata !== undefined) next.metadata = changes.metadata ?? {};
  if (changes.blocked !== undefined) next.blocked = changes.blocked ?? false;
  if (changes.settings !== undefined)
    next.settings = patchSettings(record.settings, changes.settings, nameCheck(next, shared));
  return next;
}
