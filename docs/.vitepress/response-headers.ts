/** The response headers of the reference: those that the code sets, and those of a provider that pass. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { passedNames, sharedPassed } from '../../src/calls/upstream/passed-headers.ts';

const meanings: Readonly<Record<string, string>> = {
  allow: 'With 405: the methods of the path.',
  connection: '`close` if the connection ends after the answer.',
  'content-length': 'The length of the body, if it is known.',
  'content-security-policy': '`sandbox`, because a provider answers on the origin of your application.',
  'content-type': "The provider's type. One that a browser would run becomes `application/octet-stream`.",
  'retry-after': 'Seconds to wait before the next try, with 429 and 503.',
  upgrade: '`websocket`, with 426: the path takes WebSockets only.',
  'www-authenticate': '`Bearer`, with 401.',
  'x-accel-buffering': '`no` for an event stream, so nginx passes each event on immediately.',
  'x-content-type-options': '`nosniff`',
  'x-litellm-attempted-fallbacks': 'Number of fallbacks that the call used.',
  'x-litellm-attempted-retries': 'Number of attempts after the first one.',
  'x-litellm-call-id': 'The id of the call, which the receipt and the log have too.',
  'x-litellm-error-source': '`provider` if the error is the answer of the provider.',
  'x-litellm-model-group':
    'The public name that answered. Percent-encoded if it has characters beyond ASCII.',
  'x-litellm-model-id': "The deployment's id.",
  'x-litellm-overhead-duration-ms': "The router's part of the time, in milliseconds.",
  'x-litellm-response-duration-ms': 'Milliseconds until the first byte of the answer.',
  'x-request-id':
    "The provider's id if the model is the team's and the provider sent one; else the id of the call or request.",
  'x-should-retry':
    '`false` tells a client not to repeat the call ([who retries](../guides/pools.md#who-retries)).',
  'x-total-count': 'The total of a list.',
};

const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** Code whose headers belong to requests to providers, or to a document. */
const otherHeaders = /^(egress|providers|cli|storage|calls\/upstream)\/|^http\/routes\/openapi\.ts$/;

const headerName = /^[a-z]+(-[a-z]+)*$/;

const isHeaders = (text: string): boolean => /headers$/i.test(text);

/** Returns the names that an expression sets on an object of headers. */
function namesSetBy(node: ts.Node): (string | undefined)[] {
  if (ts.isPropertyAssignment(node) && ts.isStringLiteral(node.name) && node.name.text.includes('-'))
    return [node.name.text];
  const declared = ts.isPropertyAssignment(node) || ts.isVariableDeclaration(node) ? node : undefined;
  if (declared?.initializer && isHeaders(declared.name.getText()))
    return ts.isObjectLiteralExpression(declared.initializer)
      ? declared.initializer.properties.map(({ name }) =>
          name && (ts.isIdentifier(name) || ts.isStringLiteral(name)) ? name.text : undefined,
        )
      : [];
  if (!ts.isBinaryExpression(node)) return [];
  const { left, operatorToken } = node;
  const assigns = [ts.SyntaxKind.EqualsToken, ts.SyntaxKind.QuestionQuestionEqualsToken];
  if (!assigns.includes(operatorToken.kind)) return [];
  if (ts.isPropertyAccessExpression(left) && isHeaders(left.expression.getText())) return [left.name.text];
  if (!ts.isElementAccessExpression(left) || !isHeaders(left.expression.getText())) return [];
  return [ts.isStringLiteral(left.argumentExpression) ? left.argumentExpression.text : undefined];
}

/** Returns the names of all headers that the code sets on an answer. */
export function headersSet(): string[] {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    for (const name of namesSetBy(node)) if (name !== undefined && headerName.test(name)) found.add(name);
    ts.forEachChild(node, visit);
  };
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || otherHeaders.test(file)) continue;
    const text = readFileSync(join(source, file), 'utf8');
    visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
  }
  return [...found].sort();
}

/** Returns the rows of the table: header and meaning. */
export function headerRows(): string[][] {
  const names = headersSet();
  const unset = Object.keys(meanings).filter((name) => !names.includes(name));
  if (unset.length > 0) throw new Error(`No code sets ${unset.join(', ')}.`);
  return names.map((name) => {
    const meaning = meanings[name];
    if (meaning === undefined) throw new Error(`The header ${name} has no meaning in the reference.`);
    return [`\`${name}\``, meaning];
  });
}

/** Returns the rows of the table of a provider's headers that pass, for the team's own and for shared models. */
export function passedRows(): string[][] {
  const shared = new Set(Object.keys(sharedPassed));
  const rows = [...new Set([...passedNames, ...shared])].map((name) => [name, shared.has(name)] as const);
  const prefixes = [['openai-...', false] as const, ['x-ratelimit-...', false] as const];
  return [...rows, ...prefixes].map(([name, passes]) => [
    `\`${name}\``,
    'yes',
    passes ? 'with a plain value' : 'no',
  ]);
}
