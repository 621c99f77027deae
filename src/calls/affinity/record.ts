import { JoinedChunks } from '../../egress/joined-chunks.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { TeamSnapshot } from '../../teams/records/snapshot-cache.ts';
import { type Answer, asBuffer, wholeOf } from '../answer.ts';
import type { ModelRequest } from '../call.ts';
import { createdIds } from '../json/object-ids.ts';
import { type SseEvent, SseParser } from '../upstream/sse-parser.ts';
import type { AffinityStore } from './affinity-store.ts';

/** Bytes of a stream in which an event that names a created object is looked for. */
const maxSearchedBytes = 1_048_576;
/** Bytes of a long JSON text, or of an event that is not whole yet, in which an id is looked for. */
const maxBeginningBytes = 65_536;

/**
 * Records which deployment created the objects that an answer names, before the caller learns their ids: a call that
 * speaks of one may arrive at any process at once. Only where the deployment has siblings that such a call could go to.
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
    await record(createdIds(parsedOrId(asBuffer(body).toString('utf8')), createsIds));
    return answer;
  }
  const events = headers['content-type']?.startsWith('text/event-stream') ?? false;
  const search = events ? new EventSearch(createsIds) : new BeginningSearch(createsIds);
  return { ...answer, body: new RecordedBody(body, search, record) };
}

/** What a search found: the ids, and the bytes that may be passed on before they are recorded. */
interface Found {
  ids: string[];
  before: Buffer;
  after: Buffer;
}

interface IdSearch {
  /** Returns the bytes that may be passed on now, or what was found: then the search is over. */
  push(chunk: Buffer): Buffer | Found;
  /** The body has ended. */
  end(): Found;
  readonly over: boolean;
}

/** Passes a body on. The bytes that name a created object wait until it is recorded, and no others do. */
class RecordedBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #record: (ids: string[]) => Promise<void>;
  #search: IdSearch | undefined;
  #found: Found | undefined;

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
      if (next.done === true) {
        this.#search = undefined;
        this.#found = search.end();
        if (this.#found.after.length === 0) return next;
        continue;
      }
      const given = search.push(asBuffer(next.value));
      if (search.over) this.#search = undefined;
      if (!Buffer.isBuffer(given)) this.#found = given;
      else if (given.length > 0) return { done: false, value: given };
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  async #pass(found: Found): Promise<IteratorResult<Uint8Array>> {
    const { before, after, ids } = found;
    if (before.length > 0) {
      this.#found = { ids, before: none, after };
      return { done: false, value: before };
    }
    this.#found = undefined;
    await this.#record(ids);
    return { done: false, value: after };
  }
}

const none: Buffer = Buffer.alloc(0);

/** Finds the first event that names a created object. */
class EventSearch implements IdSearch {
  readonly #createsIds: readonly string[];
  readonly #parser = new SseParser(maxSearchedBytes);
  #searched = 0;
  over = false;

  constructor(createsIds: readonly string[]) {
    this.#createsIds = createsIds;
  }

  push(chunk: Buffer): Buffer | Found {
    let start = 0;
    let ids: string[] = [];
    this.#parser.push(chunk, (event: SseEvent) => {
      start = event.start;
      ids = event.data === undefined ? [] : createdIds(parsedOrId(event.data), this.#createsIds);
      return ids.length > 0;
    });
    // An event that is too long to be held is passed on before it ends.
    const unfinished = ids.length === 0 && start === 0 ? this.#parser.unfinishedLine(maxBeginningBytes) : '';
    if (unfinished.length === maxBeginningBytes) ids = createdIds(firstId(unfinished), this.#createsIds);
    this.#searched += chunk.length;
    this.over = ids.length > 0 || this.#searched > maxSearchedBytes;
    if (ids.length === 0) return chunk;
    return { ids, before: chunk.subarray(0, start), after: chunk.subarray(start) };
  }

  end(): Found {
    return { ids: [], before: none, after: none };
  }
}

/** Finds the id with which a JSON text begins that is too long to be parsed. */
class BeginningSearch implements IdSearch {
  readonly #createsIds: readonly string[];
  readonly #held = new JoinedChunks();
  #size = 0;
  over = false;

  constructor(createsIds: readonly string[]) {
    this.#createsIds = createsIds;
  }

  push(chunk: Buffer): Buffer | Found {
    this.#held.push(chunk);
    this.#size += chunk.length;
    return this.#size < maxBeginningBytes ? none : this.end();
  }

  end(): Found {
    this.over = true;
    const after = wholeOf(this.#held.takeAll());
    const ids = createdIds(parsedOrId(after.toString('utf8', 0, maxBeginningBytes)), this.#createsIds);
    return { ids, before: none, after };
  }
}

/** The value of a JSON text, or as much of a text that is cut as names its id. */
function parsedOrId(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { id: /^\s*\{[^{}[\]]*?"id"\s*:\s*"([^"\\]{1,512})"/.exec(text)?.[1] };
  }
}

/** The first id in the beginning of an event, wherever it stands. */
function firstId(text: string): unknown {
  return { id: /"id"\s*:\s*"([^"\\]{1,512})"/.exec(text)?.[1] };
}
