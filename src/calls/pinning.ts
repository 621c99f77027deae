import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import type { Affinity } from './affinity.ts';
import { type Answer, asBuffer } from './answer.ts';
import { madeIn } from './references.ts';
import { type ModelRequest, referencesOf } from './request.ts';
import { type Caller, type Directory, type Pool, pinnedPool, resolve, resolveOnly } from './resolve.ts';

/**
 * The pool of a call: what its name resolves to, and of that only the deployment whose account has the objects that the
 * call speaks of. A call that names no model itself goes to where its objects live. A promise only if the storage has to
 * be asked, and never where there is nothing to choose.
 */
export function resolvePinned(
  affinity: Affinity,
  directory: Directory,
  caller: Caller,
  request: ModelRequest,
): Pool | Promise<Pool> {
  const { name } = request;
  const unpinned = () =>
    name === undefined ? resolveOnly(directory, caller) : resolve(directory, caller, name);
  const named = request.named ? unpinned() : undefined;
  const choices = named?.deployments.length ?? directory.team?.deployments.size ?? 0;
  if (choices < 2 || caller.teamId === null || named?.deployments[0]?.teamId === null)
    return named ?? unpinned();
  const objects = referencesOf(request);
  if (objects.length === 0) return named ?? unpinned();
  const narrow = (deploymentId: string | undefined): Pool => {
    const own = deploymentId === undefined ? undefined : ownPool(directory, caller, deploymentId);
    const deployment = own?.deployments[0];
    if (own === undefined || deployment === undefined) return named ?? unpinned();
    return named === undefined || named.deployments.includes(deployment) ? own : named;
  };
  const found = affinity.find(caller.teamId, objects);
  return found instanceof Promise ? found.then(narrow) : narrow(found);
}

/** The one deployment, if it is still there and the caller may use it: a record is no more than a hint. */
function ownPool(directory: Directory, caller: Caller, deploymentId: string): Pool | undefined {
  const deployment = directory.team?.deployments.get(deploymentId);
  if (deployment === undefined) return undefined;
  try {
    const { deployments } = resolve(directory, caller, deployment.publicName);
    return deployments.includes(deployment) ? pinnedPool(directory.team, deployment) : undefined;
  } catch (error) {
    if (RouterError.isInstance(error) && error.code === 'model_not_found') return undefined;
    throw error;
  }
}

/** An event that names what was made is not looked for behind this many bytes. */
const longestLook = 1_048_576;

/**
 * Remembers what an answer says was made, before any of it is handed over: a call that speaks of it may come at once,
 * from anywhere. Only where the deployment has siblings that the next call could go to instead.
 */
export async function rememberMade(
  affinity: Affinity,
  { team }: Directory,
  request: ModelRequest,
  deployment: Deployment,
  answer: Answer,
): Promise<Answer> {
  const { body } = answer;
  const { makes } = request.endpoint;
  const siblings = team?.pools.get(deployment.publicName)?.length ?? 0;
  const { teamId } = deployment;
  if (makes.length === 0 || siblings < 2 || teamId === null || body === null) return answer;
  if (answer.status >= 300 || !request.content.keeps()) return answer;
  const record = (text: string) => affinity.record(teamId, madeIn(valueIn(text), makes), deployment.id);
  if (body instanceof Uint8Array) {
    await record(asBuffer(body).toString('utf8'));
    return answer;
  }
  return { ...answer, body: afterFirst(body, record) };
}

/**
 * The same stream, of which nothing comes out before its beginning was looked at. Not a generator: one that was never
 * begun would not hear that its reader left.
 */
function afterFirst(
  body: AsyncIterable<Uint8Array>,
  look: (text: string) => Promise<void>,
): AsyncIterableIterator<Uint8Array> {
  const source = body[Symbol.asyncIterator]();
  let looked = false;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (looked) return source.next();
      looked = true;
      const value = await beginning(source);
      if (value.length === 0) return { done: true, value: undefined };
      await look(value.toString('utf8'));
      return { done: false, value };
    },
    async return() {
      await source.return?.();
      return { done: true, value: undefined };
    },
  };
}

/** The first event, or as much of anything else as may name what was made. */
async function beginning(source: AsyncIterator<Uint8Array>): Promise<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  while (held.length < longestLook && !/\n\r?\n/.test(held.toString('latin1'))) {
    const next = await source.next();
    if (next.done === true) break;
    held = held.length === 0 ? asBuffer(next.value) : Buffer.concat([held, next.value]);
  }
  return held;
}

/** A JSON text, the first event of a stream, or as much of a long JSON text as tells its id. */
function valueIn(text: string): unknown {
  const event = /^data:(.*)$/m.exec(text)?.[1];
  try {
    return JSON.parse(event ?? text);
  } catch {
    return { id: /^\s*\{[^{}[\]]*?"id"\s*:\s*"([^"\\]+)"/.exec(text)?.[1] };
  }
}
