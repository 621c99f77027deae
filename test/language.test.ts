import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Words that prose of this project does not use, with their inflected forms. */
const bannedWords: readonly RegExp[] = [
  /\b(?:come|comes|coming|came) in\b/gi,
  /\b(?:go|goes|going|gone|went) on\b/gi,
  /\b(?:stand|stands|standing|stood)\b/gi,
  /\b(?:lie|lies|lying|lain)\b/gi,
  /\btold of\b/gi,
  /\b(?:hear|hears|hearing|heard) of\b/gi,
  /\banew\b/gi,
  /\bbeside\b/gi,
  /\bof (?:its|his|her|their) own\b/gi,
  /\bat once\b/gi,
  /\ball the same\b/gi,
  /\b(?:is|are) none\b/gi,
  /\bby whatever door\b/gi,
  /\bshall\b/gi,
  /\bon (?:its|their|the) way\b/gi,
  /\bnearly every one\b/gi,
  /\bways? out\b/gi,
  /\blook-ups?\b/gi,
  /\btime-outs?\b/gi,
  /\b(?:nobody|whoever|somebody)\b/gi,
];

/** Returns the comments and the string literals of a TypeScript file. */
function proseOf(path: string): string[] {
  const source = parse(path);
  const prose: string[] = [];
  let withoutLiterals = source.text;
  const visit = (node: ts.Node): void => {
    const isTemplatePart = ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (ts.isStringLiteralLike(node) || isTemplatePart) prose.push(node.text);
    if (ts.isLiteralExpression(node) || ts.isLiteralTypeNode(node) || isTemplatePart) {
      const [start, end] = [node.getStart(source), node.getEnd()];
      withoutLiterals =
        withoutLiterals.slice(0, start) + ' '.repeat(end - start) + withoutLiterals.slice(end);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  const comments = withoutLiterals.match(/\/\*[\s\S]*?\*\/|(?:[ \t]*\/\/.*\n)+/g) ?? [];
  return [...prose, ...comments.map(commentText)];
}

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest);
}

/** Joins the lines of a comment, so that a phrase is found across a line break. */
function commentText(comment: string): string {
  return comment.replace(/^\s*(?:\/\*\*?|\*\/?|\/\/)/gm, ' ');
}

/** Returns the names that a file gives to its suites and tests. */
function testNamesOf(path: string): string[] {
  const source = parse(path);
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    const [name] = ts.isCallExpression(node) ? node.arguments : [];
    // The arguments of `it.each(rows)` are data, such as errors of providers.
    if (
      ts.isCallExpression(node) &&
      /^(?:describe|it|test)\b(?!.*\.each$)/s.test(node.expression.getText(source))
    )
      names.push(name?.getText(source) ?? '');
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

function bannedIn(texts: readonly string[]): string[] {
  return texts
    .map((text) => text.replace(/\s+/g, ' '))
    .flatMap((text) =>
      bannedWords.flatMap((word) =>
        [...text.matchAll(word)].map(
          ({ index }) => `... ${text.slice(Math.max(0, index - 40), index + 40).trim()} ...`,
        ),
      ),
    );
}

function filesBelow(folder: string, extension: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(extension))
    .map((file) => `${folder}/${file}`);
}

/** Returns the place that a test reports: a folder, a folder of `src/calls`, or a file outside of any. */
function placeOf(file: string): string {
  const parts = file.split('/').slice(0, file.startsWith('src/calls/') ? 3 : 2);
  const isFolder = parts.join('/') !== file;
  if (isFolder) return parts.join('/');
  return file.startsWith('src/') ? file : (parts.at(-2) ?? file);
}

const findings = new Map<string, string[]>();

function collect(files: readonly string[], textsOf: (file: string) => string[]): void {
  for (const file of files) {
    const place = placeOf(file);
    const found = bannedIn(textsOf(file)).map((excerpt) => `${file}: ${excerpt}`);
    findings.set(place, [...(findings.get(place) ?? []), ...found]);
  }
}

collect(filesBelow('src', '.ts'), proseOf);
collect(filesBelow('test', '.test.ts'), testNamesOf);
collect(
  [
    ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md'],
    // TypeDoc writes docs/api/ from the comments of src/.
    ...filesBelow('docs', '.md').filter((file) => !file.startsWith('docs/api/')),
    ...filesBelow('.changeset', '.md'),
  ],
  (file) => [readFileSync(join(root, file), 'utf8')],
);

describe('Prose', () => {
  it.each([...findings])('%s uses no banned words', (_place, found) => {
    expect(found, found.join('\n')).toEqual([]);
  });

  it('finds a phrase in a comment across a line break, and one in a string literal', () => {
    expect(bannedIn([commentText('/**\n * Refuses the call at\n * once. */')])).toHaveLength(1);
    expect(bannedIn(['There is none.', 'Understands and relies.'])).toHaveLength(1);
  });
});
