import { RouterError } from '../../errors.ts';
import { keyBody, keyPatch } from '../../schemas/bodies.ts';
import type { KeyBody, KeyPatch } from '../../schemas/body-types.ts';
import { parse } from '../../schemas/parse.ts';
import type { Storage } from '../../storage/storage.ts';
import { readIdEntry, removeIdEntry, writeIdEntry } from '../records/id-index.ts';
import { listRecords, pageOptions, type UnreadableTeam } from '../records/listing.ts';
import type { Mutation, RecordStore } from '../records/record-store.ts';
import { type KeyRecord, keyPointerKey, newRecord, type TeamRecord } from '../records/team-record.ts';
import { type Actor, stampOf } from './actor.ts';
import {
  findKey,
  hashKey,
  hasKey,
  insertKey,
  type KeyView,
  keyNotFound,
  keyView,
  makeKeyRecord,
  mintKey,
  type NewKey,
  patchKey,
  purgeExpired,
  tokenOf,
  tokensOf,
  touchKey,
} from './edit-key.ts';
import { type KeyRegeneration, keyRegeneration, regenerate } from './key-regeneration.ts';
import { checkTeamId, teamNotFound } from './team-service.ts';

/**
 * One page of the keys of all teams.
 *
 * @example
 * ```ts
 * const page: KeyPage = await router.listAllKeys({ limit: 100 });
 * console.log(page.keys.length, page.cursor);
 * ```
 */
export interface KeyPage {
  keys: KeyView[];
  /** Teams of this page whose records cannot be read. Absent if every record can be read. */
  unreadable?: UnreadableTeam[];
  /** Absent on the last page. */
  cursor?: string;
}

/**
 * All keys of one team.
 *
 * @example
 * ```ts
 * const { keys, total_count }: KeyList = await router.listKeys('acme');
 * ```
 */
export interface KeyList {
  keys: KeyView[];
  total_count: number;
}

/** Creates, changes, lists and deletes the API keys in a team's record. */
export class KeyService {
  readonly #records: RecordStore;
  readonly #storage: Storage;
  readonly #teams: 'implicit' | 'explicit';

  constructor(records: RecordStore, storage: Storage, options: { teams: 'implicit' | 'explicit' }) {
    this.#records = records;
    this.#storage = storage;
    this.#teams = options.teams;
  }

  async create(given: string, fields: KeyBody, actor?: Actor): Promise<NewKey> {
    const teamId = checkTeamId(given);
    const body = parse(keyBody, fields);
    if (body.team_id !== undefined && body.team_id !== teamId) {
      const message = 'team_id: must be the team of the key';
      throw new RouterError('invalid_request', message, { param: 'team_id' });
    }
    const stamp = stampOf(actor);
    const key = mintKey();
    const token = hashKey(key);
    const made = makeKeyRecord(key, body, stamp);
    let ended: string[] = [];
    const view = await this.#changeUnder(teamId, token, (existing) => {
      if (existing === undefined && this.#teams === 'explicit') throw teamNotFound(teamId);
      const record = existing ?? newRecord(teamId, stamp.at, stamp.by);
      ended = purgeExpired(record, Date.parse(stamp.at));
      insertKey(record, token, made);
      return { record, result: keyView(teamId, token, made) };
    });
    await this.#forget(ended);
    return { key, ...view, token_id: token };
  }

  async regenerate(given: string, id: string, fields: KeyRegeneration, actor?: Actor): Promise<NewKey> {
    const teamId = checkTeamId(given);
    const body = parse(keyRegeneration, fields);
    // Rejects an unknown key before it writes anything.
    await this.get(teamId, id);
    const old = tokenOf(id);
    const stamp = stampOf(actor);
    const key = mintKey();
    const token = hashKey(key);
    let ended: string[] = [];
    const view = await this.#changeUnder(teamId, token, (record) => {
      if (record === undefined) throw keyNotFound();
      const entry = findKey(record, old, Date.parse(stamp.at));
      const made = regenerate(entry, key, body, stamp);
      const before = record.keys.flatMap(tokensOf);
      replaceKey(record, entry[0], [token, made]);
      purgeExpired(record, Date.parse(stamp.at));
      const after = new Set(record.keys.flatMap(tokensOf));
      ended = before.filter((each) => !after.has(each));
      return { record, result: keyView(teamId, token, made) };
    });
    await this.#forget(ended);
    return { key, ...view, token_id: token };
  }

  /**
   * Changes the record for a new secret. Writes the secret's pointer first, and removes it if the change is
   * rejected.
   */
  async #changeUnder<Result>(teamId: string, token: string, change: Mutation<Result>): Promise<Result> {
    // A process that dies between the two writes leaves a pointer to nothing.
    await writeIdEntry(this.#storage, keyPointerKey(token), teamId);
    try {
      return await this.#records.change(teamId, change);
    } catch (error) {
      const uncertain = RouterError.isInstance(error) && error.code === 'storage_unavailable';
      if (!uncertain) await removeIdEntry(this.#storage, keyPointerKey(token));
      throw error;
    }
  }

  async update(teamId: string, id: string, patch: KeyPatch, actor?: Actor): Promise<KeyView> {
    const body = parse(keyPatch, patch);
    return this.#change(teamId, id, (key) => patchKey(key, body, stampOf(actor)));
  }

  async block(teamId: string, id: string, blocked: boolean, actor?: Actor): Promise<KeyView> {
    return this.#change(teamId, id, (key) => {
      key.blocked = blocked;
      touchKey(key, stampOf(actor));
    });
  }

  /**
   * Deletes a key, so that requests with it are rejected. Given the hash of an older secret, revokes only that
   * secret.
   */
  async delete(given: string, id: string): Promise<{ deleted_keys: string[] }> {
    const teamId = checkTeamId(given);
    const token = tokenOf(id);
    const ended = await this.#records.change(teamId, (record) => {
      if (record === undefined) throw keyNotFound();
      const entry = findKey(record, token);
      const [current, key] = entry;
      if (current === token) {
        record.keys = record.keys.filter(([candidate]) => candidate !== token);
        return { record, result: tokensOf(entry) };
      }
      const previous = key.previous?.filter(([old]) => old !== token) ?? [];
      return { record: replaceKey(record, current, [current, { ...key, previous }]), result: [token] };
    });
    await this.#forget(ended);
    return { deleted_keys: [token] };
  }

  async get(given: string, id: string): Promise<KeyView> {
    const teamId = checkTeamId(given);
    const token = tokenOf(id);
    const record = await this.#records.read(teamId);
    if (record === undefined) throw keyNotFound();
    return keyView(teamId, ...findKey(record, token));
  }

  async list(given: string): Promise<KeyList> {
    const teamId = checkTeamId(given);
    const record = await this.#records.read(teamId);
    if (record === undefined) throw teamNotFound(teamId);
    const keys = record.keys.map(([token, key]) => keyView(teamId, token, key));
    return { keys, total_count: keys.length };
  }

  /** Returns the keys of one page of all teams. */
  async listAll(options?: { cursor?: string; limit?: number }): Promise<KeyPage> {
    const viewsOf = ({ team_id, keys }: TeamRecord) =>
      keys.map(([token, key]) => keyView(team_id ?? '', token, key));
    const { views, ...rest } = await listRecords(this.#storage, parse(pageOptions, options ?? {}), viewsOf);
    return { keys: views.flat(), ...rest };
  }

  /** Returns the team of a key, or `undefined` if no team has it. */
  async findTeam(id: string): Promise<{ team_id: string } | undefined> {
    const token = tokenOf(id);
    const teamId = await readIdEntry(this.#storage, keyPointerKey(token));
    if (teamId === undefined || teamId === null) return undefined;
    const record = await this.#records.read(teamId);
    return record !== undefined && hasKey(record, token) ? { team_id: teamId } : undefined;
  }

  #change(given: string, id: string, apply: (key: KeyRecord) => void): Promise<KeyView> {
    const teamId = checkTeamId(given);
    const token = tokenOf(id);
    return this.#records.change(teamId, (record) => {
      if (record === undefined) throw keyNotFound();
      const [current, stored] = findKey(record, token);
      const key = { ...stored };
      apply(key);
      return { record: replaceKey(record, current, [current, key]), result: keyView(teamId, current, key) };
    });
  }

  async #forget(tokens: readonly string[]): Promise<void> {
    for (const token of tokens) await removeIdEntry(this.#storage, keyPointerKey(token));
  }
}

function replaceKey(record: TeamRecord, token: string, next: [string, KeyRecord]): TeamRecord {
  record.keys = record.keys.map((entry) => (entry[0] === token ? next : entry));
  return record;
}
