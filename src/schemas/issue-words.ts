import type { z } from 'zod';

type Issue = z.core.$ZodIssue;

const kinds: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  function: 'a function',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a string',
};

/** Returns an issue with zod's default message replaced by a message of this package. */
export function withOwnMessage(issue: Issue): Issue {
  return { ...issue, message: messageOf(issue) ?? issue.message };
}

function messageOf(issue: Issue): string | undefined {
  if (!/^(Invalid|Too) /.test(issue.message)) return undefined;
  if (issue.code === 'invalid_type') {
    const kind = kinds[issue.expected];
    return kind === undefined ? undefined : `must be ${kind}`;
  }
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  const unit = issue.code === 'too_small' || issue.code === 'too_big' ? unitOf(issue.origin) : '';
  if (issue.code === 'too_small')
    return `must ${issue.inclusive ? 'be at least' : 'be more than'} ${issue.minimum}${unit}`;
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}${unit}`;
  return undefined;
}

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters long';
  return origin === 'array' ? ' entries long' : '';
}
