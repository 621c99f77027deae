import { z } from 'zod';
import { openApiEntry, type RouteEntry, routeTable } from './route-table.ts';

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  },
};

/** Returns the OpenAPI 3.1 document of the gateway, built from the schemas that validate its requests. */
export function openApiDocument(basePath: string | undefined): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const entry of [...routeTable, openApiEntry]) {
    const path = paths[entry.path] ?? {};
    path[entry.method.toLowerCase()] = operation(entry);
    paths[entry.path] = path;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'team-model-router',
      version: '1',
      description: 'Every OpenAI call is also served under /openai and /openai/v1, for Azure clients.',
    },
    ...(basePath === undefined ? {} : { servers: [{ url: basePath }] }),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The master key, or the API key of a team' },
      },
      schemas: { Error: errorSchema },
    },
  };
}

function operation({ method, path, permission, summary, body, query }: RouteEntry): Record<string, unknown> {
  const call = permission === 'calls';
  return {
    summary,
    operationId: `${method.toLowerCase()}${path.replace(/[^A-Za-z0-9]+/g, '_')}`,
    security: permission === 'open' ? [] : [{ bearer: [] }],
    'x-permission': permission,
    parameters: [...pathParameters(path), ...queryParameters(query)],
    ...(body === undefined ? {} : { requestBody: { description: aboutNull, ...json(schemaOf(body)) } }),
    ...(call && method === 'POST' ? { requestBody: callBody } : {}),
    responses: {
      200: call ? providersAnswer : { description: 'The response', content: content({}) },
      default: { description: 'An error', content: content({ $ref: '#/components/schemas/Error' }) },
    },
  };
}

const providersAnswer = {
  description: "The provider's response, byte for byte",
  content: { 'application/json': {}, 'text/event-stream': {}, 'application/octet-stream': {} },
};

const aboutNull = 'Where a field may be absent, null means "not given"; in an update it clears.';

const callBody = {
  description: 'As OpenAI documents it',
  content: {
    'application/json': { schema: { type: 'object' } },
    'multipart/form-data': { schema: { type: 'object' } },
  },
};

function json(schema: object) {
  return { required: true, content: content(schema) };
}

function content(schema: object) {
  return { 'application/json': { schema } };
}

function pathParameters(path: string) {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(query: z.ZodType | undefined) {
  if (query === undefined) return [];
  const { properties = {} } = schemaOf(query) as { properties?: Record<string, object> };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', schema }));
}

function schemaOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
