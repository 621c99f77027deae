import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { describe, expect, it } from 'vitest';
import { readInput } from '../../src/http/routes/management-input.ts';
import { managementRoutes } from '../../src/http/routes/route-table.ts';

interface Described {
  shape?: Record<string, Described>;
  element?: Described;
  options?: Described[];
  in?: Described;
  unwrap?: () => Described;
}

const long = 'sk-'.padEnd(1_048_576, ' a="\'');
/** Two of these are less than the gateway's limit of a body. */
const lessLong = 'a'.repeat(400_000);

/** Returns a body for each field of a schema, in which that field alone has a value: the long text. */
function bodiesOf(schema: Described, value: unknown = long): { field: string; body: unknown }[] {
  if (schema.shape !== undefined)
    return Object.entries(schema.shape).flatMap(([name, inner]) =>
      bodiesOf(inner, value).map(({ field, body }) => ({
        field: field === '' || field.startsWith('[') ? `${name}${field}` : `${name}.${field}`,
        body: { [name]: body },
      })),
    );
  if (schema.options !== undefined) return schema.options.flatMap((option) => bodiesOf(option, value));
  if (schema.element !== undefined)
    return bodiesOf(schema.element, value).map(({ field, body }) => ({ field: `[0]${field}`, body: [body] }));
  const inner = schema.in ?? schema.unwrap?.();
  return inner === undefined ? [{ field: '', body: value }] : bodiesOf(inner, value);
}

const cases = managementRoutes.flatMap(({ method, paths, body, readBody }) =>
  body === undefined
    ? []
    : bodiesOf(body as Described).map((each) => ({
        ...each,
        line: `${method} ${paths[0]}`,
        schema: body,
        readBody,
      })),
);

describe('a text of 1 MB', () => {
  it.each(cases)('in $field of $line is refused by its length alone', ({ field, body, schema, readBody }) => {
    // Whatever else is wrong with the body, such as fields that are missing, is found after the lengths.
    const expected = new RegExp(
      `^${field.replace(/[[\]]/g, '\\$&')}: must be at most \\d+ characters long\\.$`,
    );
    expect(() => readInput(schema, body, readBody)).toThrow(expected);
  });

  it.each([
    ['an unknown field', { unknown: lessLong }, 'unknown'],
    [
      'a header',
      { litellm_params: { extra_headers: { 'x-a': lessLong } } },
      'litellm_params.extra_headers.x-a',
    ],
    [
      'a part of metadata',
      { model_info: { metadata: { a: [{ b: lessLong }] } } },
      'model_info.metadata.a[0].b',
    ],
    ['a list in place of a text', { model_name: [lessLong] }, 'model_name[0]'],
    ['two fields', { model_name: lessLong, litellm_params: { api_key: lessLong } }, 'model_name'],
  ])('in %s is refused by the router as by the gateway', async (_, body, param) => {
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
    });
    const masterKey = 'm'.repeat(32);
    const refusal = { code: 'invalid_request', param };
    await expect(router.addModel('acme', body as never)).rejects.toMatchObject(refusal);
    const response = await createGateway(router, { masterKey }).request('/model/new', {
      method: 'POST',
      headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { ...refusal, message: expect.stringMatching(/ characters long\.$/) },
    });
    await router.close();
  });
});
