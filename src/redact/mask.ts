/** Returns a short form that identifies a secret without helping to guess it: `sk-...cb07`. */
export function mask(secret: string): string {
  const prefix = secret.startsWith('sk-') ? 'sk-' : '';
  return `${prefix}...${secret.length >= 20 ? secret.slice(-4) : ''}`;
}

/** Returns whether a value is an output of `mask`. Settings pages post such values back unchanged. */
export function isMasked(value: string): boolean {
  return /^(sk-)?\.\.\..{0,4}$/u.test(value.trim()) || /^[*\u2022.]+$/u.test(value.trim());
}
