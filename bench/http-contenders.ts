import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Target } from './http-load.ts';

/** A process under test. */
export interface Contender {
  name: string;
  child: ChildProcess;
  target: Target;
}

/** The built file of a script that stands beside this one. */
export const script = (name: string) => fileURLToPath(new URL(`${name}.js`, import.meta.url));

/** The provider behind all of them. */
export async function startUpstream(): Promise<{ child: ChildProcess; url: string }> {
  const child = fork(script('http-upstream'));
  const [port] = (await once(child, 'message')) as [number];
  return { child, url: `http://127.0.0.1:${port}` };
}

export async function startPassThrough(upstreamUrl: string): Promise<Contender> {
  const child = fork(script('http-passthrough'), [upstreamUrl]);
  const [port] = (await once(child, 'message')) as [number];
  return { name: 'pass-through', child, target: { port, headers: {} } };
}

export async function startGateway(upstreamUrl: string): Promise<Contender> {
  const child = fork(script('http-gateway'), [upstreamUrl]);
  const [{ key }] = (await once(child, 'message')) as [{ key: string }];
  const [port] = (await once(child, 'message')) as [number];
  return { name: 'gateway', child, target: { port, headers: { authorization: `Bearer ${key}` } } };
}

const chat = (content: string, more: object = {}) =>
  JSON.stringify({ model: 'my-team-model', ...more, messages: [{ role: 'user', content }] });
const question = "What's the weather like in Boston today?";

/** The calls that are made, as JSON. */
export const bodies = {
  plain: chat(question),
  long: chat('x'.repeat(200_000)),
  stream: chat(question, { stream: true }),
  paced: chat('paced', { stream: true, user: 'paced' }),
};
