/** Texts that are pasted instead of a credential, or together with one. */

/** Matches the credentials of known providers. */
const issued =
  /(sk[-_]|gsk_|xai-|pplx-|csk-|nvapi-|hf_|fw_|AIza|tgp_v1_|r8_|ghp_|github_pat_|sess-)[\w-]{12,}/;

/** Matches text before a credential: a scheme, an assignment, a query parameter, a command-line option. */
const before = /^(bearer(%20|\+)?|[\w.$-]+\s*(:?=|[-=]>)\s*|\S*[?&][\w.-]+=|--?[a-z][\w-]*[=\s]\s*)$/i;
const after = /^([)\]}>.]+|%0[ad]|%20|\s+(#|\/\/|--|<-).*)$/is;

/** Returns where other text was pasted next to an issued credential; `undefined` for other texts. */
export function textAround(text: string): 'around' | 'before' | 'after' | undefined {
  const found = issued.exec(text);
  if (found === null) return undefined;
  const start = text.slice(0, found.index);
  if (/^[([<{]+$/.test(start)) return 'around';
  if (before.test(start)) return 'before';
  return after.test(text.slice(found.index + found[0].length)) ? 'after' : undefined;
}

/** References that secret managers and configuration tools resolve: AWS, Azure, Google Cloud, Vault, SOPS, Docker. */
const reference =
  /^(arn:aws|@Microsoft\.KeyVault\(|ENC\[|!?vault[:\s]|\{\{?vault|(aws-)?(ssm|secretsmanager):|projects\/[^/]+\/secrets\/|\/(etc|home|mnt|opt|root|run|tmp|users|var)\/)/i;

export function isSecretReference(text: string): boolean {
  return reference.test(text);
}

/** Returns whether a text is a host, with or without a port and a path. */
export function isHostName(text: string): boolean {
  return /^(localhost|([a-z0-9-]+\.)+(ai|cloud|cn|co|com|dev|eu|io|net|org|us))(:\d+)?(\/\S*)?$/i.test(text);
}

/** Placeholders of examples, and texts that programs print for a missing value. */
const placeholders = [
  /^<.*>$/s,
  /^\[[^\]]*\]$/,
  /^\{\{.*\}\}$/s,
  /^%\w+%$/,
  /^\$\w+$/,
  /^\$\(.*\)$/s,
  /^(process\.env|import\.meta\.env|os\.environ|os\.getenv|deno\.env|env)\b.*$/is,
  /^(sk-)?(proj-)?x{3,}$/i,
  /^(sk-|sk-proj-)?your($|[-_]\S*$|\S*(key|token|secret)\S*$)/i,
  /^(sk-|sk-proj-)?(insert|replace|enter|paste|put|change|add)[-_]?(me|it|this|here|your\S*|(api)?(key|token|secret)(here)?)$/i,
  /^(sk-|sk-proj-)?(insert|replace|enter|paste|put|change|add)([-_][a-z]+){0,4}[-_](your|key|token|secret)([-_]\S*)?$/i,
  /^(undefined|null|nan|\[object object\]|todo|fixme|tbd)$/i,
  // Names that the documentation and `serve` print.
  /^(PROVIDER|TEAM|ACME|GLOBEX|BACKUP)_KEY$/,
  /^(sk|sk-proj|sk-ant)-?$/i,
];

const maxPlaceholderLength = 128;

export function isPlaceholder(text: string): boolean {
  return text.length <= maxPlaceholderLength && placeholders.some((pattern) => pattern.test(text));
}
