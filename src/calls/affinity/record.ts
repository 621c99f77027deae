import type { Deployment } from '../../teams/records/deployment.ts';
import type { TeamSnapshot } from '../../teams/records/snapshot-cache.ts';
import { type Answer, asBuffer } from '../answer.ts';
import type { ModelRequest } from '../call.ts';
import type { AffinityStore } from './affinity-store.ts';
import { EventSearch, type IdSearch, JsonSearch, searchInSlices } from './id-search.ts';

/**
 * Records which deployment created the objects of a response, before the caller receives their ids, because the
 * next call may reach any process immediately. Records only if the pool has other deployments.
 */
export async function rememberCreatedObjects(
  affinity: AffinityStore,
  team: TeamSnapshot | undefined,
  request: ModelRequest,
  deployment: Deployment,
  answer: Answer,
): Promise<Answer> {
  const { body, headers } = answer;
  const { createsIds } = request.endpoint;
  const siblings = team?.pools.get(deployment.publicName)?.length ?? 0;
  const { teamId } = deployment;
  if (createsIds.length === 0 || siblings < 2 || teamId === null || body === null) return answer;
  if (answer.status >= 300 || !request.body.keepsAnswer()) return answer;
  const record = (ids: string[]) => affinity.remember(teamId, ids, deployment.id);
  if (body instanceof Uint8Array) {
    await record(await searchInSlices(asBuffer(body), createsIds, teamId));
    return answer;
  }
  const events = headers['content-type']?.startsWith('text/event-stream') ?? false;
  const search = events ? new EventSearch(createsIds) : new JsonSearch(createsIds);
  return { ...answer, body: new RecordedBody(body, search, record) };
}

/** Passes a body on. The bytes that name a created object wait until it is recorded, and no others do. */
class RecordedBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #record: (ids: string[]) => Promise<void>;
  #search: IdSearch | undefined;
  /** Bytes that wait for the record of these ids. */
  #found: { ids: string[]; after: Buffer } | undefined;

  constructor(body: AsyncIterable<Uint8Array>, search: IdSearch, record: (ids: string[]) => Promise<void>) {
    this.#source = body[Symbol.asyncIterator]();
    this.#search = search;
    this.#record = record;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      if (this.#found !== undefined) return this.#pass(this.#found);
      const search = this.#search;
      const next = await this.#source.next();
      if (search === undefined) return next;
      if (next.done === true) return next;
      const chunk = asBuffer(next.value);
      const { ids, from } = search.push(chunk);
      if (search.over) this.#search = undefined;
      if (ids.length === 0) return { done: false, value: chunk };
      this.#found = { ids, after: chunk.subarray(from) };
      if (from > 0) return { done: false, value: chunk.subarray(0, from) };
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  async #pass({ ids, after }: { ids: string[]; after: Buffer }): Promise<IteratorResult<Uint8Array>> {
    this.#found = undefined;
    await this.#record(ids);
    return { done: false, value: after };
  }
}
