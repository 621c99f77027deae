import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

// Through sockets, to a provider: what arrives is what was sent, but for the model.

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, { ok: true }));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const api_base = `${provider.url}/v1`;
  for (const api_key of ['sk-one', 'sk-two']) {
    await router.addModel('acme', {
      model_name: 'mine',
      litellm_params: { model: 'theirs', api_key, api_base },
    });
  }
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function arrived(
  path: string,
  contentType: string,
  body: string | Uint8Array | ReadableStream,
): Promise<Buffer> {
  provider.requests.length = 0;
  const response = await router.fetchFor('acme')(teamBaseUrl + path, {
    method: 'POST',
    headers: { 'content-type': contentType },
    ...(body instanceof ReadableStream ? { duplex: 'half' as const } : {}),
    body,
  });
  expect(await response.json()).toEqual({ ok: true });
  return provider.requests[0]?.body ?? Buffer.alloc(0);
}

const numbers = [
  '12345678901234567890',
  '-0',
  '1e400',
  '-1E-400',
  '0.1000000000000000055',
  '1.0',
  '9007199254740993',
];
const string = fc
  .string({ unit: 'binary', maxLength: 8 })
  .chain((value) => fc.constantFrom(JSON.stringify(value), escaped(value)));
/** Every character as an escape. */
const escaped = (value: string) =>
  `"${[...value.split('')].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;

const { value: json } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(...numbers, 'true', 'null', '"previous_response_id"', '"\\/"', '"\ud83d\ude42"'),
    string,
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[ ${items.join(' ,\t')}]`),
    // Keys that stand twice, and in whatever order.
    fc
      .array(fc.tuple(fc.constantFrom('"a"', '"b"', '"model"', '"file_id"', '"\\u0061"'), tie('value')), {
        maxLength: 4,
      })
      .map((members) => `{${members.map(([key, value]) => `${key}: ${value}`).join('\n,')}}`),
  ),
}));
const top = fc.uniqueArray(
  fc.constantFrom('"messages"', '"seed"', '"z"', '"input"', '"\\u0062"', '"metadata"'),
  { maxLength: 5 },
);
const body = fc
  .tuple(
    top.chain((keys) => fc.tuple(...keys.map((key) => json.map((value) => `${key} :${value}`)))),
    fc.nat(),
  )
  .map(([members, at]) => {
    const place = at % (members.length + 1);
    return (model: string) =>
      `{ ${[...members.slice(0, place), `"model": "${model}"`, ...members.slice(place)].join(', ')}\n}`;
  });

test.each(['/chat/completions', '/responses'])(
  'a JSON body arrives at %s byte for byte but for its model',
  async (path) => {
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        expect(String(await arrived(path, 'application/json', text('mine')))).toBe(text('theirs'));
      }),
      { numRuns: 150 },
    );
  },
);

test('a JSON body nested as deep as may be arrives as it is', async () => {
  const deep = (model: string) =>
    `{"a":${'['.repeat(510)}{"file_id":"x"}${']'.repeat(510)},"model":"${model}"}`;
  expect(String(await arrived('/responses', 'application/json', deep('mine'))) === deep('theirs')).toBe(true);
});

const boundary = 'a"b'.replace('"', "'");
const contentType = `multipart/form-data; boundary="${boundary}"`;
const data = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc
    .array(
      fc.constantFrom(
        '\r\n',
        '--',
        boundary.slice(0, -1),
        `\r\n--${boundary.slice(0, -1)}`,
        '"',
        '\0',
        `${boundary}--`,
      ),
      { maxLength: 6 },
    )
    .map((parts) => Buffer.from(parts.join(''))),
);
const field = fc.tuple(
  fc.constantFrom(
    'name="file"; filename="a \\"b\\".bin"',
    'name="prompt"',
    'name=bare',
    'name="models"',
    'name="image[]"; filename="\u00fc"',
  ),
  data.filter(
    (bytes) =>
      !bytes.includes(`\r\n--${boundary}`) &&
      !bytes.subarray(0, boundary.length + 2).includes(`--${boundary}`),
  ),
);

const form = fc.tuple(fc.array(field, { maxLength: 5 }), fc.nat()).map(([fields, at]) => (model: string) => {
  const parts = fields.map(([name, bytes]): [string, Buffer] => [
    `Content-Disposition: form-data; ${name}`,
    bytes,
  ]);
  const place = at % (parts.length + 1);
  parts.splice(place, 0, ['Content-Disposition: form-data; name="model"', Buffer.from(model)]);
  return Buffer.concat([
    ...parts.flatMap(([head, bytes]) => [
      Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`),
      bytes,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
});

test('a form arrives byte for byte but for its model, held or streamed, with files before fields', async () => {
  await fc.assert(
    fc.asyncProperty(form, fc.boolean(), async (bytes, streamed) => {
      const sent = streamed ? new Blob([new Uint8Array(bytes('mine'))]).stream() : bytes('mine');
      const got = await arrived('/audio/transcriptions', contentType, sent);
      expect(got.equals(bytes('theirs'))).toBe(true);
    }),
    { numRuns: 150 },
  );
});
