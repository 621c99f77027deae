import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { packageEntries } from '../../package-entries.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface CodeBlock {
  name: string;
  language: string;
  text: string;
}

/** Returns the fenced blocks of a Markdown text, without the indentation of the fence. */
export function fencedBlocks(file: string, markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^( *)```(\w*)\n([\s\S]*?)^ *```$/gm)].map(
    ([, indent = '', language = '', text = ''], index) => ({
      name: `${file} block ${index + 1}`,
      language,
      text: text.replace(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );
}

/** Returns the pages of docs/ by their path below it. */
export function pagesOfDocs(): string[] {
  return readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.md') && !/^(api|\.vitepress)\//.test(name),
  );
}

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
const { options: configured } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const options: ts.CompilerOptions = { ...configured, noUnusedLocals: false, noUnusedParameters: false };

const entries = Object.entries(packageEntries).map(([subpath, { source }]) => ({
  specifier: `team-model-router${subpath.slice(1)}`,
  file: join(root, source),
}));

/** Packages that a block may use without an import. */
const foreign: Readonly<Record<string, string>> = {
  express: "import express from 'express';",
  Fastify: "import Fastify from 'fastify';",
  Hono: "import { Hono } from 'hono';",
  Keyv: "import Keyv from 'keyv';",
  OpenAI: "import OpenAI from 'openai';",
  AzureOpenAI: "import { AzureOpenAI } from 'openai';",
  OpenAIRealtimeWS: "import { OpenAIRealtimeWS } from 'openai/realtime/ws';",
  ResponsesWS: "import { ResponsesWS } from 'openai/resources/responses/ws';",
  createClient: "import { createClient } from 'redis';",
  pg: "import pg from 'pg';",
  pino: "import { pino } from 'pino';",
  createServer: "import { createServer } from 'node:http';",
};

export interface PublicExport {
  specifier: string;
  name: string;
  /** Text of its documentation, with all tags. */
  comment: string;
  examples: string[];
}

/** Reads all exports of the package's entries. */
export function publicExports(program: ts.Program): PublicExport[] {
  const checker = program.getTypeChecker();
  return entries.flatMap(({ specifier, file }) => {
    const source = program.getSourceFile(file);
    const module = source && checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} is no module`);
    return checker.getExportsOfModule(module).map((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      const textOf = (parts: ts.SymbolDisplayPart[] | undefined) => ts.displayPartsToString(parts);
      const tags = target.getJsDocTags(checker);
      return {
        specifier,
        name: symbol.name,
        comment: textOf(target.getDocumentationComment(checker)),
        examples: tags.filter(({ name }) => name === 'example').map(({ text }) => textOf(text)),
      };
    });
  });
}

export function entryProgram(): ts.Program {
  return ts.createProgram(
    entries.map(({ file }) => file),
    options,
  );
}

/** Adds imports of the package's exports, and of known packages, that a block uses and does not declare. */
function withImports(text: string, exported: readonly PublicExport[]): string {
  const source = ts.createSourceFile('block.ts', text, ts.ScriptTarget.Latest, true);
  const used = new Set<string>();
  const declared = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      const isName = (parent as { name?: ts.Node }).name === node && !ts.isPropertyAccessExpression(parent);
      (isName ? declared : used).add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  const wanted = (name: string) => used.has(name) && !declared.has(name);
  const seen = new Set<string>();
  const own = exported
    .filter(({ name }) => wanted(name) && !seen.has(name) && seen.add(name))
    .map(({ name, specifier }) => `import { ${name} } from '${specifier}';`);
  const others = Object.keys(foreign).filter((name) => wanted(name) && !seen.has(name));
  return [...own, ...others.map((name) => foreign[name]), text, 'export {};'].join('\n');
}

/** Type-checks all blocks in one program. Returns each problem with the name of its block. */
export function problemsOf(
  blocks: readonly CodeBlock[],
  exported: readonly PublicExport[],
  before: ts.Program,
): string[] {
  const files = new Map(
    blocks.map((block, index) => [
      join(root, 'test', `block-${index}.ts`),
      { ...block, text: withImports(block.text, exported) },
    ]),
  );
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => files.has(name) || fileExists(name);
  host.readFile = (name) => files.get(name)?.text ?? readFile(name);
  host.getSourceFile = (name, ...rest) => {
    const block = files.get(name);
    if (block === undefined) return before.getSourceFile(name) ?? getSourceFile(name, ...rest);
    return ts.createSourceFile(name, block.text, ts.ScriptTarget.Latest, true);
  };
  const globals = join(root, 'docs/.vitepress/globals.d.ts');
  const program = ts.createProgram(
    [...files.keys(), globals],
    { ...options, verbatimModuleSyntax: false },
    host,
  );
  return [...files].flatMap(([file, { name, text }]) => {
    const source = program.getSourceFile(file);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found.map(({ messageText, start = 0 }) => {
      const line = text.slice(0, start).split('\n').length;
      const message = ts.flattenDiagnosticMessageText(messageText, ' ');
      return `${name}: ${message} (${text.split('\n')[line - 1]?.trim()})`;
    });
  });
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}
