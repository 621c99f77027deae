/** Shows which secret it is, and nothing that helps to guess it: `sk-...cb07`. */
export function mask(secret: string): string {
  const prefix = secret.startsWith('sk-') ? 'sk-' : '';
  return `${prefix}...${secret.length >= 20 ? secret.slice(-4) : ''}`;
}

/** Whether a value is what `mask` makes: a settings page posted back what it was shown. */
export function isMasked(value: string): boolean {
  return /^(sk-)?\.\.\..{0,4}$/u.test(value.trim()) || /^[*\u2022.]+$/u.test(value.trim());
}
