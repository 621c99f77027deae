import { Validator } from '@seriousme/openapi-schema-validator';
import { createGateway, type Gateway } from 'team-model-router/http';
import { beforeAll, describe, expect, it } from 'vitest';
import { gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';

interface Operation {
  operationId: string;
  security: object[];
  parameters: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: JsonSchema }> };
  responses: Record<string, unknown>;
}
interface JsonSchema {
  type?: string;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: unknown;
  required?: string[];
  anyOf?: JsonSchema[];
}
interface Document {
  openapi: string;
  servers?: { url: string }[];
  paths: Record<string, Record<string, Operation>>;
}

const house = gatewayFixture({}, { openapi: true });
let document: Document;

async function documentOf(gateway: Gateway, path = '/openapi.json'): Promise<Document> {
  const answer = await send(gateway, `GET ${path}`);
  expect(outcome(answer)).toBe('200');
  return answer.json as Document;
}

beforeAll(async () => {
  document = await documentOf(house.gateway);
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      line: `${method.toUpperCase()} ${path}`,
      path,
      operation,
    })),
  );

/** Every route that Hono has of the gateway, in the document's spelling. */
const routesOf = (gateway: Gateway) =>
  new Set(
    gateway.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`),
  );

describe('the OpenAPI document', () => {
  it('is valid, says a library that judges others', async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document) as never);
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
    expect(document.openapi).toBe('3.1.0');
    const broken = { ...structuredClone(document), paths: { 'no-slash': {} } };
    expect((await new Validator().validate(broken as never)).valid).toBe(false);
  });

  it('has every route of the application, and the application every one of its', () => {
    const documented = operations().map(({ line }) => line);
    expect(documented.length).toBeGreaterThan(150);
    expect(documented.sort()).toEqual([...routesOf(house.gateway)].sort());
    expect(house.gateway.routes.filter(({ method }) => method === 'ALL').map(({ path }) => path)).toEqual([
      '/*',
    ]);
  });

  it('answers for what it says: each operation is a route, and needs a key where it says so', async () => {
    for (const { line, operation } of operations()) {
      const answer = await send(house.gateway, line.replace(/\{\w+\}/g, 'x'));
      expect(outcome(answer), line).toBe(operation.security.length === 0 ? '200' : '401 invalid_api_key');
    }
  });

  it('names each operation once, and each open segment as a parameter', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, operation } of operations()) {
      const segments = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const named = operation.parameters
        .filter((parameter) => parameter.in === 'path')
        .map(({ name }) => name);
      expect(named).toEqual(segments);
    }
  });

  it('describes the bodies that the gateway takes, field by field', async () => {
    for (const { line, operation } of operations()) {
      const schema = operation.requestBody?.content['application/json']?.schema;
      if (schema === undefined || operation.requestBody?.content['multipart/form-data'] !== undefined)
        continue;
      const forms = schema.anyOf ?? [schema];
      for (const form of forms) expect(form.additionalProperties, line).toBe(false);
      const fields = forms.flatMap(({ properties }) => Object.keys(properties ?? {}));
      expect(fields.length, line).toBeGreaterThan(0);
      for (const field of fields) {
        // A value that no field takes: what is refused is the value, or a field that is missing, never this one as unknown.
        const answer = await send(house.gateway, line.replace('{id}', 'x'), {
          key: masterKey,
          body: { [field]: [[]] },
        });
        expect(answer.text, `${line} ${field}`).not.toContain(`Unknown field ${field}.`);
      }
      for (const required of forms.length === 1 ? (schema.required ?? []) : []) {
        const answer = await send(house.gateway, line.replace('{id}', 'x'), { key: masterKey, body: {} });
        expect([outcome(answer), schema.required], line).toEqual([
          '400 invalid_request',
          expect.arrayContaining([required]),
        ]);
      }
    }
    expect(
      document.paths['/model/new']?.post?.requestBody?.content['application/json']?.schema,
    ).toMatchObject({
      required: ['model_name', 'litellm_params'],
      properties: {
        model_name: { type: 'string', maxLength: 256 },
        litellm_params: { properties: { model: { type: 'string' }, api_key: { type: 'string' } } },
      },
    });
  });

  it('is there only if it was asked for, and knows its base path', async () => {
    const without = createGateway(house.router, { masterKey });
    for (const method of ['GET', 'POST', 'HEAD']) {
      expect((await send(without, `${method} /openapi.json`, { key: masterKey })).status).toBe(404);
    }
    expect(outcome(await send(house.gateway, 'POST /openapi.json'))).toBe('405 method_not_allowed');
    expect(document.servers).toBeUndefined();
    const based = createGateway(house.router, { masterKey, openapi: true, basePath: '/llm' });
    const described = await documentOf(based, '/llm/openapi.json');
    expect(described.servers).toEqual([{ url: '/llm' }]);
    expect(described.paths).toEqual(document.paths);
    expect((await new Validator().validate(structuredClone(described) as never)).valid).toBe(true);
  });
});
