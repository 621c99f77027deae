/** Attacks by one team's request, its provider's answer, or its stored data. */
import type { Arena, Attack } from './hostile-arena.ts';

const mebibyte = 1_048_576;
const prefix = '{"model":"model","messages":[],"x":';

/** A body of about so many bytes, filled with repetitions of `unit`. */
function filled(unit: string, bytes: number, before = `${prefix}[`, after = '0]}'): Buffer {
  const count = Math.floor((bytes - before.length - after.length) / unit.length);
  return Buffer.concat([Buffer.from(before), Buffer.alloc(count * unit.length, unit), Buffer.from(after)]);
}

/** Different short keys, as many as fit. */
export function manyKeys(bytes: number): Buffer {
  const members: string[] = [];
  for (let size = 0, at = 0; size < bytes; at++) {
    const member = `"${at.toString(36)}":0,`;
    members.push(member);
    size += member.length;
  }
  return Buffer.from(`{${members.join('')}"model":"model"}`);
}

export const shapes: Record<string, (bytes: number) => Buffer> = {
  'open brackets': (bytes) => filled('[', bytes, prefix, ''),
  'nested objects': (bytes) => filled('{"a":', bytes, prefix, '0'),
  'short keys': manyKeys,
  'numbers in a list': (bytes) => filled('0,', bytes, `{"model":"model","file_id":"f","x":[`),
  'empty objects in a list': (bytes) => filled('{},', bytes, `${prefix}[`, '{}]}'),
  'empty texts in a list': (bytes) => filled('"",', bytes),
  'keys in a list': (bytes) => filled('{"id":""},', bytes, `${prefix}[`, '{}]}'),
  'references in a list': (bytes) => filled('{"file_id":"f"},', bytes, `${prefix}[`, '{}]}'),
  'escaped quotation marks': (bytes) => filled('\\"', bytes, `${prefix}"`, '"}'),
  backslashes: (bytes) => filled('\\\\', bytes, `${prefix}"`, '"}'),
  spaces: (bytes) => filled(' ', bytes, `${prefix}`, '0}'),
  'one long text': (bytes) => filled('a', bytes, `${prefix}"`, '"}'),
  'not UTF-8': (bytes) => Buffer.concat([filled('a', bytes, `${prefix}"`, ''), Buffer.from([0xff])]),
};

/** One body of a shape, by a team whose provider fails: a pool of two is asked more than once. */
function bodyOf(shape: string, bytes: number): Attack {
  return async (arena) => {
    await arena.model('hostile', 'model', 'failing');
    await arena.model('hostile', 'model', 'failing');
    const key = await arena.key('hostile');
    const { status } = await arena.chat(key, shapes[shape]?.(bytes) ?? '');
    return `answered ${status}`;
  };
}

async function mute(arena: Arena): Promise<string> {
  return arena.key('hostile', { models: [] });
}

/** A call whose provider answers in pieces of some bytes. */
function answerOf(kind: string, bytes: number, size: number, paced = ''): Attack {
  return async (arena) => {
    for (let sibling = 0; sibling < 2; sibling++)
      await arena.model('hostile', 'model', `${kind}-${bytes}-${size}${paced}`);
    const key = await arena.key('hostile');
    const body = '{"model":"model","input":"x","stream":true}';
    const { status } = await arena.send(
      key,
      '/v1/responses',
      kind === 'json' ? body.replace('true', 'false') : body,
    );
    return `answered ${status}`;
  };
}

async function longSecrets(arena: Arena): Promise<string> {
  let headers = 32;
  for (; headers > 0; headers /= 2) {
    const extra: Record<string, string> = {};
    for (let at = 0; at < headers; at++)
      extra[`x-secret-${at}`] = `${'a'.repeat(4_000)}${at}${'a'.repeat(4_000)}`;
    const { status } = await arena.model('hostile', 'model', 'alike-250000-100000', { extra_headers: extra });
    if (status < 300) break;
  }
  const key = await arena.key('hostile');
  const { status } = await arena.chat(key, '{"model":"model","messages":[]}');
  return `${headers} headers of 8 KB, answered ${status}`;
}

async function largeModels(arena: Arena): Promise<string> {
  const text = 'x'.repeat(60_000);
  const headers: Record<string, string> = {};
  for (let at = 0; at < 31; at++) headers[`x-header-${at}`] = 'y'.repeat(8_100);
  const large = { extra_headers: headers, extra_body: { text } };
  const add = (params: object) => arena.model('hostile', 'model', 'good', params);
  let added = 0;
  let refused = 0;
  for (; added < 240; added++) {
    refused = (await add(large)).status;
    if (refused >= 300) break;
  }
  if (added === 0)
    for (; added < 1000; added++) {
      refused = (await add({ extra_body: { text: 'x'.repeat(30_000) } })).status;
      if (refused >= 300) break;
    }
  return `${added} models stored, then ${refused}`;
}

async function longLists(arena: Arena): Promise<string> {
  let models = 0;
  const batch = 50;
  const extra_headers = Object.fromEntries(
    Array.from({ length: 8 }, (_, at) => [`x-secret-${at}`, `secret ${at}`]),
  );
  while (models < 800) {
    const adding = Array.from({ length: batch }, (_, at) =>
      arena.model('hostile', `model ${models + at}`, 'good', { extra_headers }),
    );
    await Promise.all(adding);
    models += batch;
  }
  const key = await arena.key('hostile');
  const reader = async () => {
    for (let list = 0; list < 5; list++) await arena.send(key, '/model/info');
  };
  await Promise.all([reader(), reader(), reader(), reader()]);
  return `${models} models, listed 20 times`;
}

/** Bodies that are announced and begun, and never end. */
function unfinished(count: number, bytes: number, muted: boolean): Attack {
  return async (arena) => {
    await arena.model('hostile', 'model', 'good');
    const key = muted ? await mute(arena) : await arena.key('hostile');
    const chunk = Buffer.alloc(mebibyte, 'a');
    let sent = 0;
    const send = async () => {
      const socket = await arena.socket();
      socket.resume();
      const closed = new Promise<void>((resolve) => socket.once('close', resolve));
      socket.write(arena.head(key, bytes));
      socket.write('{"model":"model","messages":[],"x":"');
      for (let at = 0; at + mebibyte < bytes; at += mebibyte) {
        const flushed = new Promise<void>((resolve) => socket.write(chunk, () => resolve()));
        const stalled = new Promise<'stalled'>((resolve) =>
          setTimeout(() => resolve('stalled'), 2_000).unref(),
        );
        if ((await Promise.race([flushed, closed.then(() => 'closed'), stalled])) !== undefined) return;
        sent += mebibyte;
      }
    };
    await Promise.all(Array.from({ length: count }, send));
    return `${Math.round(sent / mebibyte)} MiB taken of ${Math.round((count * bytes) / mebibyte)}`;
  };
}

/** Calls sent ahead on one connection, or one on each of many, whose answers nobody reads. */
function unread(connections: number, calls: number): Attack {
  return async (arena) => {
    await arena.model('hostile', 'model', 'megabyte');
    const key = await arena.key('hostile');
    const body = '{"model":"model","messages":[]}';
    const call = arena.head(key, body.length) + body;
    for (let at = 0; at < connections; at++) {
      const socket = await arena.socket();
      socket.pause();
      socket.write(call.repeat(calls));
    }
    // Nothing tells that no more answers come: the provider is asked no more.
    for (let asked = -1; asked !== arena.requests.get('megabyte'); ) {
      asked = arena.requests.get('megabyte') ?? 0;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    return `${connections * calls} calls, ${arena.requests.get('megabyte')} asked of the provider`;
  };
}

export interface Listed {
  item: string;
  name: string;
  attack: Attack;
  /** Whether names must be looked up at a server that never answers. */
  silentDns?: true;
}

export const processAttacks: readonly Listed[] = [
  {
    item: 'A1',
    name: '112 MiB of [, by a key that may call nothing',
    attack: mutedBody('open brackets', 112),
  },
  { item: 'A1', name: '60 MiB of [', attack: bodyOf('open brackets', 60 * mebibyte) },
  { item: 'A1', name: '30 MiB of short keys', attack: bodyOf('short keys', 30 * mebibyte) },
  {
    item: 'A2',
    name: '30 MiB of numbers, a pool of two',
    attack: bodyOf('numbers in a list', 30 * mebibyte),
  },
  { item: 'A2', name: '60 MiB of {}, for a shared model', attack: sharedBody },
  { item: 'A2', name: '60 MiB of references', attack: bodyOf('references in a list', 60 * mebibyte) },
  {
    item: 'A3',
    name: 'an event of 1 MB, 20 bytes at a time',
    attack: answerOf('event', 1_060_000, 20, '-paced'),
  },
  { item: 'A3', name: 'JSON of 1.06 MB in 20 bytes each', attack: answerOf('json', 1_060_000, 20) },
  { item: 'A3', name: 'JSON of 1.06 MB in 4 bytes each', attack: answerOf('json', 1_060_000, 4) },
  { item: 'A3', name: '265 000 comments', attack: answerOf('comments', 795_000, 3) },
  { item: 'A4', name: 'long secrets, an error of 250 KB', attack: longSecrets },
  { item: 'A5', name: 'models as large as may be', attack: largeModels },
  { item: 'A5', name: 'lists of 800 models, four readers', attack: longLists },
  {
    item: 'A6',
    name: 'six unfinished bodies, a key for nothing',
    attack: unfinished(6, 100 * mebibyte, true),
  },
  { item: 'A6', name: 'twenty unfinished bodies of 60 MiB', attack: unfinished(20, 60 * mebibyte, false) },
  { item: 'A7', name: '900 calls sent ahead, nothing read', attack: unread(1, 900) },
  { item: 'A7', name: '300 readers of 1 MB that read nothing', attack: unread(300, 1) },
];

function mutedBody(shape: string, mebibytes: number): Attack {
  return async (arena) => {
    await arena.model('hostile', 'model', 'good');
    const { status } = await arena.chat(await mute(arena), shapes[shape]?.(mebibytes * mebibyte) ?? '');
    return `answered ${status}`;
  };
}

async function sharedBody(arena: Arena): Promise<string> {
  await arena.model(null, 'model', 'good');
  await arena.manage('/team/new', { team_id: 'hostile', models: ['model'] });
  const key = await arena.key('hostile');
  const { status } = await arena.chat(key, shapes['empty objects in a list']?.(60 * mebibyte) ?? '');
  return `answered ${status}`;
}
