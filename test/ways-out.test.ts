import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'src');

/** What no connection can be opened with: whoever needs it may have it. */
const harmless = new Set([
  'node:assert/strict',
  'node:async_hooks',
  'node:buffer',
  'node:crypto',
  'node:diagnostics_channel',
  'node:events',
  'node:os',
  'node:path',
  'node:stream',
  'node:timers/promises',
  'node:util',
  'node:zlib',
  'lru-cache',
  'zod',
]);

/** Everything else: which file may take what of which module, and why no way out comes of it but through egress/. */
const stated: [module: string, files: RegExp, names: string[], why: string][] = [
  ['undici', /^egress\//, ['Client', 'buildConnector', 'errors'], 'the one way out'],
  ['node:net', /^egress\//, ['BlockList', 'isIP'], 'judges addresses, and opens nothing'],
  [
    'node:tls',
    /^egress\//,
    ['createSecureContext', 'rootCertificates'],
    'a list, and settings without a socket',
  ],
  ['node:dns', /^egress\//, ['lookup'], 'its answers are judged before they are dialled'],
  ['node:dns/promises', /^egress\//, ['Resolver'], 'its answers are judged before they are dialled'],
  ['node:fs/promises', /^egress\/dns\/system-files\.ts$/, ['open'], 'the hosts file and resolv.conf'],
  ['node:http', /^http\/adapters\/node\.ts$/, ['createServer'], 'takes connections, and opens none'],
  ['@hono/node-server', /^http\/adapters\/node\.ts$/, ['getRequestListener'], 'answers requests'],
  ['hono', /^http\/gateway\.ts$/, ['Hono'], 'answers requests'],
  ['undici', /^egress\/sockets\/handshake\.ts$/, ['WebSocket'], 'dispatches to the guarded transport'],
  ['undici', /^egress\/sockets\/provider-socket\.ts$/, ['ping'], 'writes to a socket that is open'],
  ['undici', /^client\/team-socket\.ts$/, ['CloseEvent', 'ErrorEvent', 'MessageEvent'], 'classes of events'],
  ['ws', /^sessions\/accept\.ts$/, ['*'], 'takes connections, and opens none'],
  ['node:http', /^http\/adapters\/socket-options\.ts$/, ['createServer'], 'never listens'],
  ['node:http', /^(client\/web-response|http\/messages\/server-errors)\.ts$/, ['STATUS_CODES'], 'a list'],
  ['hono/cors', /^http\/gateway\.ts$/, ['cors'], 'answers requests'],
  ['hono/router/trie-router', /^http\/static-route-cache\.ts$/, ['TrieRouter'], 'looks up paths'],
  ['hono/route', /^http\/gateway\.ts$/, ['routePath'], 'answers requests'],
  ['openai', /^client\/team-client\.ts$/, ['OpenAI'], 'a client whose fetch is the dispatcher'],
  ['openai', /^is-router-error\.ts$/, ['APIError'], 'a class to compare with'],
  ['node:fs/promises', /^(storage\/sqlite\/file(-check)?|cli\/(key-files|main))\.ts$/, [], 'files'],
  ['node:url', /^storage\/sqlite\/index\.ts$/, ['fileURLToPath'], 'a path of a URL of a file'],
  [
    '@keyv/sqlite',
    /^storage\/sqlite\/driver\.ts$/,
    ['*'],
    'a file; other databases are clients of the application',
  ],
  ['redis', /^cli\/open-storage\.ts$/, ['*'], "the operator's own database, named on the command line"],
  ['redis', /^cli\/redis-failover\.ts$/, ['createClient'], 'the same'],
  ['pg', /^cli\/open-storage\.ts$/, ['*'], "the operator's own database, named on the command line"],
];

/** What reaches out, or reaches what does, without an import. */
const globals = new Set(
  `fetch WebSocket EventSource XMLHttpRequest navigator Worker SharedWorker require module exports eval Function
  globalThis global self window process importScripts`.split(/\s+/),
);
const commandOnly = /^cli\//;

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config,
  ts.sys,
  root,
);

/** Every use of a module or a global that the tables above do not allow, in src/ with `extra` files beside. */
function waysOut(extra: Record<string, string> = {}): string[] {
  const added = new Map(Object.entries(extra).map(([file, text]) => [join(source, file), text]));
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (file, version, ...rest) => {
    const text = added.get(file);
    return text === undefined ? read(file, version, ...rest) : ts.createSourceFile(file, text, version, true);
  };
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(source, file));
  const program = ts.createProgram([...files, ...added.keys()], options, host);
  const checker = program.getTypeChecker();
  return [...files, ...added.keys()].flatMap((file) => {
    const parsed = program.getSourceFile(file);
    if (parsed === undefined) throw new Error(`${file} is not read`);
    return usesOf(parsed, relative(source, file), checker);
  });
}

function usesOf(parsed: ts.SourceFile, file: string, checker: ts.TypeChecker): string[] {
  const found: string[] = [];
  const module = (specifier: ts.Expression | undefined, names: string[]) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier))
      found.push(`${file}: imports what it computes`);
    else if (!specifier.text.startsWith('.') && !isAllowed(specifier.text, file, names))
      found.push(`${file}: ${names.join()} of ${specifier.text}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const names = namesOf(node.importClause);
      if (names.length > 0) module(node.moduleSpecifier, names);
      return;
    }
    if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && !node.isTypeOnly)
      module(node.moduleSpecifier, ['*']);
    if (ts.isImportEqualsDeclaration(node)) found.push(`${file}: ${node.getText(parsed)}`);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      module(node.arguments[0], ['*']);
    if (ts.isIdentifier(node) && globals.has(node.text) && isGlobal(node, checker)) {
      const command = node.text === 'process' && commandOnly.test(file);
      if (!command && !isHarmless(node)) found.push(`${file}: ${node.text}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(parsed);
  return found;
}

/** What is imported as a value; a module that is imported for what it does is `*`, as the whole of it. */
function namesOf(clause: ts.ImportClause | undefined): string[] {
  if (clause === undefined) return ['*'];
  if (clause.isTypeOnly) return [];
  const { name, namedBindings } = clause;
  if (namedBindings === undefined || ts.isNamespaceImport(namedBindings)) return ['*'];
  const named = namedBindings.elements.filter(({ isTypeOnly }) => !isTypeOnly);
  return [...(name === undefined ? [] : ['*']), ...named.map((one) => (one.propertyName ?? one.name).text)];
}

function isAllowed(module: string, file: string, names: string[]): boolean {
  if (harmless.has(module)) return true;
  return stated.some(
    ([name, files, allowed]) =>
      name === module &&
      files.test(file) &&
      (allowed.length === 0 || names.every((one) => allowed.includes(one))),
  );
}

const reachesNothing: ReadonlySet<string> = new Set(['nextTick', 'on', 'off']);

/** What of `process` reaches nothing; the rest loads modules, or reads the environment. */
function isHarmless({ text, parent }: ts.Identifier): boolean {
  return text === 'process' && ts.isPropertyAccessExpression(parent) && reachesNothing.has(parent.name.text);
}

/** Whether a name is the platform's, and not a variable or a field of that name. */
function isGlobal(node: ts.Identifier, checker: ts.TypeChecker): boolean {
  if (ts.isPartOfTypeNode(node) || ts.isTypeQueryNode(node.parent)) return false;
  const shorthand = ts.isShorthandPropertyAssignment(node.parent);
  const symbol = shorthand
    ? checker.getShorthandAssignmentValueSymbol(node.parent)
    : checker.getSymbolAtLocation(node);
  const declarations = symbol?.declarations ?? [];
  return declarations.every((one) => one.getSourceFile().isDeclarationFile && !isField(one));
}

/** A field of the platform's own types, such as `options.global`; those of `globalThis` are variables. */
function isField(declaration: ts.Declaration): boolean {
  return (
    ts.isPropertySignature(declaration) ||
    ts.isMethodSignature(declaration) ||
    ts.isPropertyDeclaration(declaration)
  );
}

const sneaky: Record<string, string> = {
  'calls/a.ts': "await fetch('https://x.example');",
  'calls/b.ts': "const { fetch: go } = globalThis; go('https://x.example');",
  'calls/c.ts': "await globalThis.fetch('https://x.example');",
  'calls/d.ts': "import http from 'node:http'; http.get('http://x.example');",
  'calls/e.ts': "import { request } from 'https'; request('https://x.example');",
  'calls/f.ts': "import * as h2 from 'node:http2'; h2.connect('https://x.example');",
  'calls/g.ts': "const net = await import('node:net'); net.connect(1);",
  'calls/h.ts': "const name = ['node', 'tls'].join(':'); await import(name);",
  'calls/i.ts': "import { createSocket } from 'node:dgram'; createSocket('udp4');",
  'calls/j.ts': "new WebSocket('wss://x.example');",
  'calls/k.ts': "new EventSource('https://x.example');",
  'calls/l.ts': "import { request } from 'undici'; await request('https://x.example');",
  'calls/m.ts': "import { execFile } from 'node:child_process'; execFile('curl', ['x.example']);",
  'calls/n.ts': "import { createRequire } from 'node:module'; createRequire(import.meta.url)('net');",
  'calls/o.ts': "process.getBuiltinModule('node:net').connect(1);",
  'calls/p.ts': "export { connect } from 'node:tls';",
  'calls/q.ts': "export * from 'node:net';",
  'calls/r.ts': "import { Worker } from 'node:worker_threads'; new Worker('x');",
  'calls/s.ts': "new Function('return fetch')();",
  'calls/t.ts': "eval('fetch')('https://x.example');",
  'calls/u.ts': "const take = { fetch }; take.fetch('https://x.example');",
  'calls/v.ts': "import { lookup } from 'node:dns/promises'; await lookup('secret.x.example');",
  'calls/w.ts': "import OpenAI from 'openai'; new OpenAI();",
  'egress/x.ts': "import { connect } from 'node:net'; connect(1);",
  'egress/y.ts': "import { request } from 'undici'; await request('https://x.example');",
  'http/node-y.ts': "import { createServer } from 'node:http'; createServer();",
  'calls/x.ts': 'process.env.HTTPS_PROXY;',
  'calls/y.ts': "const { getBuiltinModule } = process; getBuiltinModule('net');",
  'teams/z.ts': "require('node:net').connect(1);",
};

/** A variable or a field of such a name is no way out. */
const fine = {
  'calls/fine.ts':
    'export const f = (fetch: () => void, o: { fetch(): void; global?: 1 }) => [fetch(), o.fetch(), o.global, /x/g.global];',
};

const found = waysOut({ ...sneaky, ...fine });
const isSneaky = (use: string) => use.slice(0, use.indexOf(':')) in sneaky;

it('nothing opens a connection but egress/', () => {
  expect(found.filter((use) => !isSneaky(use))).toEqual([]);
});

it.each(Object.entries(sneaky))('%s would be found: %s', (file) => {
  expect(found.filter((use) => use.startsWith(`${file}:`))).not.toEqual([]);
});
