/** The log messages of the reference: each message, its levels and its fields, from the types of the code that logs it. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { type LogMessage, logMessages } from '../../src/logger.ts';

/** When a message is written, and what the operator can do. */
const meanings: Record<LogMessage, string> = {
  'call could not be handled': 'A bug. The caller gets `internal_error` with the same `callId`.',
  'request could not be handled':
    'Gateway: a bug (`requestId`, `error`), or an error outside of a call that only the operator can fix (`hint`).',
  'storage failed': 'Once, until the storage answers again.',
  'storage write failed': 'Once, until the storage writes recovered. The storage may be readable meanwhile.',
  'call failed':
    'The fields of a [receipt](../guides/receipts-and-logging.md#receipts), and `hint`. `error`: only the operator can fix it. `code`, or the `reason` of an attempt, is `internal_error`, `corrupt_record` or `credential_unreadable`, or the line has a `hint`. `warn`: the provider, the storage or a limit. `debug`: the request is at fault, such as an unknown model, a wrong field or a 400 of the provider.',
  'deployment cooling down':
    '`teamId` if a shared deployment cools down for this team only. Once, until the deployment has answered.',
  'host refused':
    '`reason` is `address_not_allowed` if the name resolves to an address that is not allowed, or the code of a failed resolution (`ENOTFOUND`). The team gets the same error in both cases.',
  'stored secrets cannot be decrypted; check the encryption keys':
    '`serve`: `teamId` is `null` for a shared model. The line names the first such model among the shared models and 20 teams, at the start. Restore the key that encrypted it, or enter the secret again.',
  'stored records cannot be read':
    '`serve`: `records` has the ids of the teams (`shared`: the shared models), among the shared models and 20 teams, at the start. Export the records and restore or delete them.',
  'storage cannot be watched': 'Changes of other processes take effect within `maxStalenessMs` then.',
  'affinity records dropped':
    '`records` is their number since the last such line; `teamId` is of the latest. At most one line a minute.',
  'authentication failed':
    'Gateway: `code` says why. At most ten lines a minute together with the next one; `suppressed` counts the others.',
  'address not allowed': "Gateway: a team's `api_base` that the egress policy rejects.",
  'authenticate threw': 'Gateway: the request is answered with 401.',
  'authenticate returned an invalid result':
    'Gateway: `field` of its result is invalid. The request is answered with 401.',
  'onCall threw': 'The call is not affected.',
  'onUsage failed': 'Once, until it takes a batch again. The batch is delivered again.',
  'usage events dropped':
    '`dropped` events were not delivered to `onUsage`: more than 10 000 waited, they were older than 24 hours, or the router closed.',
  'call succeeded after retry':
    'The fields of a receipt. The call succeeded after a retry. `error` if an attempt failed for a reason that only the operator can fix.',
  'storage recovered': 'Calls and changes work again.',
  'storage writes recovered': 'Changes work again.',
};

/** These messages have the fields of a receipt, which has a page. */
const receipts: readonly string[] = ['call failed', 'call succeeded after retry'] satisfies LogMessage[];

const root = fileURLToPath(new URL('../..', import.meta.url));

function program(): ts.Program {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  return ts.createProgram([join(root, 'src/index.ts'), join(root, 'src/cli/main.ts')], options);
}

/** Returns the arguments of a call that logs: the level, the fields and the message. */
function logCall(node: ts.Node): { fields: ts.Node; message: ts.Node } | undefined {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { expression, name } = node.expression;
  const written = name.text === 'write' && /(^|\.)#?log$/.test(expression.getText());
  const direct = /(^|\.)#?logger$/.test(expression.getText()) && /^(debug|info|warn|error)$/.test(name.text);
  const [fields, message] = node.arguments.slice(written ? 1 : 0);
  return (written || direct) && fields && message ? { fields, message } : undefined;
}

/** Returns the names of the fields by message, from every place of `src/` that logs. */
export function loggedFields(): Map<string, Set<string>> {
  const compiled = program();
  const checker = compiled.getTypeChecker();
  const found = new Map<string, Set<string>>();
  const typesOf = (type: ts.Type): ts.Type[] => (type.isUnion() ? type.types : [type]);
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    const call = logCall(node);
    if (call === undefined) return;
    const fields = typesOf(checker.getTypeAtLocation(call.fields)).flatMap((type) =>
      checker.getPropertiesOfType(type).map(({ name }) => name),
    );
    for (const message of typesOf(checker.getTypeAtLocation(call.message))) {
      if (!message.isStringLiteral()) throw new Error(`${node.getText()}: the message has no literal type`);
      const known = found.get(message.value) ?? new Set();
      for (const field of fields) known.add(field);
      found.set(message.value, known);
    }
  };
  for (const file of compiled.getSourceFiles()) if (file.fileName.startsWith(join(root, 'src/'))) visit(file);
  return found;
}

/** Returns the rows of the table: level, message, fields and meaning. */
export function logRows(): string[][] {
  const fields = loggedFields();
  return Object.entries(logMessages).map(([message, levels]) => {
    const names = fields.get(message);
    if (names === undefined) throw new Error(`No code logs "${message}".`);
    const listed = receipts.includes(message)
      ? 'those of a receipt'
      : [...names].map((name) => `\`${name}\``).join(', ');
    return [
      levels.map((level) => `\`${level}\``).join(', '),
      `\`${message}\``,
      listed,
      meanings[message as LogMessage],
    ];
  });
}
