import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { RouterError } from '../../errors.ts';

/** Maximum length of an address that is looked at. IPv6 with a zone has fewer characters. */
const maxLength = 64;

/**
 * Reads what a custom resolver calls back with: a list of addresses, as with `all`, or one address. An entry is
 * `{ address, family }` or the text of an address. The family is taken from the address.
 *
 * @returns an error for anything else, so that no part of a malformed answer is used
 */
export function readLookupAnswer(error: unknown, answer: unknown): LookupAddress[] | Error {
  if (error) return error instanceof Error ? error : lookupFault('calls back with an error that is no Error');
  const entries: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
  const addresses = entries.map(addressOf);
  return addresses.every((address) => address !== undefined)
    ? addresses
    : lookupFault('calls back with something else than addresses');
}

/** Returns the error of a resolver that does not follow its signature. Only the operator can read the reason. */
export function lookupFault(fault: string): RouterError {
  const message = 'The host name of the model does not resolve to an allowed address. Check its api_base.';
  return new RouterError('egress_denied', message, {
    hint: `egress.lookup: ${fault}. It must call back once, with an error or a list of { address, family }.`,
  });
}

function addressOf(entry: unknown): LookupAddress | undefined {
  const address =
    typeof entry === 'object' && entry !== null ? (entry as { address?: unknown }).address : entry;
  if (typeof address !== 'string' || address.length > maxLength) return undefined;
  const family = isIP(address);
  return family === 0 ? undefined : { address, family };
}
