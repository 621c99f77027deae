import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { generateEncryptionKey, memoryStorage, RouterError, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const source = new URL('../src/', import.meta.url).pathname;
/** What an operator reads at start, on the command line, or where a storage is opened. */
const forOperators = /^(cli|storage)\/|^(options|http\/options|egress\/allow-list)\.ts$/;
/** Options, methods, paths of management, switches and packages: what a customer of the service can do nothing about. */
const operatorWords =
  /--[a-z]|\begress\.|\/(team|key)\/\w|\b(allowShared|defaultModel|rawBody|masterKey|npm|(get|add|update|delete|create|list)(Team|Model|Key)\w*|max[A-Z]\w+)\b/;

interface Message {
  file: string;
  text: string;
}

/** The literal parts of every message in a file: an argument of a RouterError, or a variable called `message`. */
function messagesOf(file: string): Message[] {
  const tree = ts.createSourceFile(
    file,
    readFileSync(join(source, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const found: Message[] = [];
  const literals = (node: ts.Node): void => {
    // A hint is for the log.
    if (ts.isPropertyAssignment(node) && node.name.getText() === 'hint') return;
    const isText =
      ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (isText) found.push({ file, text: node.text });
    node.forEachChild(literals);
  };
  const visit = (node: ts.Node): void => {
    const isError = ts.isNewExpression(node) && node.expression.getText() === 'RouterError';
    const isRefusal =
      ts.isCallExpression(node) &&
      /^(refusal|invalid|unreachable|invalidField)$/.test(node.expression.getText());
    const isMessage = ts.isVariableDeclaration(node) && node.name.getText() === 'message';
    if (isError || isRefusal || isMessage) literals(node);
    else node.forEachChild(visit);
  };
  visit(tree);
  return found;
}

it('no message that a team can read names what only the operator can do', () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' });
  const messages = files
    .filter((file) => file.endsWith('.ts') && !forOperators.test(file))
    .flatMap((file) => messagesOf(file));
  expect(messages.length).toBeGreaterThan(200);
  expect(messages.filter(({ text }) => operatorWords.test(text))).toEqual([]);
});

it('a hint is on the error for the operator, redacted, and in no answer', () => {
  const error = new RouterError('corrupt_record', 'What is stored cannot be read.', {
    hint: 'See postgres://me:a-password@db.internal/x',
  });
  expect(error.hint).toContain('db.internal');
  expect(error.hint).not.toContain('a-password');
  expect(JSON.stringify(error)).not.toContain('db.internal');
  expect(error.message).not.toContain('db.internal');
});

interface Line {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

function collector() {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object, message: string) =>
    lines.push({ level, message, fields: { ...fields } });
  return { lines, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

const turn = () => new Promise(setImmediate);

describe('what the operator has to mend', () => {
  it.each([
    ['a newer format', { format: 99, team_id: 'acme' }, 'format 99'],
    ['the record of another team', { format: 1, team_id: 'globex' }, 'malformed'],
    ['no record', { format: 1 }, 'malformed'],
  ])('a stored record with %s: a team is told whom to ask, and the log why', async (_, stored, why) => {
    const { lines, logger } = collector();
    const storage = memoryStorage();
    const router = new TeamModelRouter({
      storage,
      encryptionKeys: [generateEncryptionKey()],
      logger,
      maxStalenessMs: 1,
    });
    const gateway = createGateway(router, {
      logger,
      authenticate: () => ({ teamId: 'acme', keyType: 'default' as const }),
    });
    await storage.put('team/acme', JSON.stringify(stored), null);
    const send = async (path: string, body?: object) => {
      const init = { headers: { 'content-type': 'application/json' } };
      const posted = body === undefined ? init : { ...init, method: 'POST', body: JSON.stringify(body) };
      return (await gateway.request(path, posted)).text();
    };
    const answers = [
      await send('/team/info'),
      await send('/v1/chat/completions', { model: 'm', messages: [] }),
      await send('/v1/models'),
    ];
    await turn();
    for (const answer of answers) {
      expect(JSON.parse(answer)).toMatchObject({
        error: {
          code: 'corrupt_record',
          message: expect.stringContaining('Ask the operator of this service.'),
        },
      });
      expect(answer).not.toMatch(/format|malformed|another team/);
    }
    const told = lines.filter(({ level, fields }) => level === 'error' && String(fields.hint).includes(why));
    expect(told.map(({ message }) => message).sort()).toEqual([
      'call failed',
      'call failed',
      'request could not be handled',
    ]);
    await router.close();
  });

  it('a body parser in front of the gateway: a team reads no advice on mounting, and the log has it', async () => {
    const { lines, logger } = collector();
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      logger,
    });
    const gateway = createGateway(router, {
      logger,
      authenticate: () => ({ teamId: 'acme', keyType: 'default' as const }),
    });
    const listener = nodeListener(gateway);
    // An application that reads every body and keeps nothing of it.
    const server = createServer(async (request, response) => {
      for await (const _ of request);
      await listener(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const path of ['/model/new', '/v1/chat/completions']) {
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', messages: [] }),
      });
      const text = await response.text();
      expect(response.status).toBe(400);
      expect(text).toContain('Ask the operator of this service.');
      expect(text).not.toMatch(/mount|parser|rawBody/i);
    }
    await turn();
    const hints = lines.map(({ fields }) => String(fields.hint)).filter((hint) => hint.includes('rawBody'));
    expect(hints).toHaveLength(2);
    await new Promise((resolve) => server.close(resolve));
    await router.close();
  });

  it('a call control that only a deployment may take: a team is sent to its own allow_fields alone', async () => {
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
    });
    const params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef' };
    await router.addSharedModel({ model_name: 'common', litellm_params: params });
    await router.createTeam({ team_id: 'acme', models: ['common'] });
    await router.addModel('acme', { model_name: 'own', litellm_params: params });
    const ask = (model: string) =>
      router.chatCompletion('acme', { model, messages: [], guardrails: [] } as never).then(
        () => 'answered',
        (error: Error) => error.message,
      );
    expect(await ask('own')).toContain('allow_fields');
    expect(await ask('common')).toContain('guardrails: is not supported in a call. Remove it.');
    await router.close();
  });
});
