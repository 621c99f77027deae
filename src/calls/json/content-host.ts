import { documentedHosts } from '../../providers/bases.ts';

/**
 * Last labels of names that public DNS does not have: the special-use names of IANA, the names that ICANN never delegates,
 * and what local networks, containers and clusters use.
 *
 * @see https://www.iana.org/assignments/special-use-domain-names
 */
const localLabels = new Set(
  (
    'alt arpa example internal invalid local localhost onion test ' +
    'consul corp domain home host intranet kube lan localdomain mail nomad private svc workgroup'
  ).split(' '),
);

/** Domains that a provider reads with credentials of the account: its APIs, its cloud's storage and consoles. */
const accounts = new Set([
  ...documentedHosts,
  ...['com', 'us', 'cn'].flatMap((end) =>
    ['openai', 'cognitiveservices', 'ai', 'portal'].map((name) => `${name}.azure.${end}`),
  ),
  'api.cognitive.microsoft.com',
  'api.cognitive.microsoft.us',
  'aws.amazon.com',
  'chatgpt.com',
  'cloud.google.com',
  'core.chinacloudapi.cn',
  'core.usgovcloudapi.net',
  'core.windows.net',
  'googleapis.com',
  'platform.openai.com',
]);

/** Azure's storage. A signature in the URL reads one object without an account. */
const azureStorage = /(?:^|\.)core\.(?:chinacloudapi\.cn|usgovcloudapi\.net|windows\.net)$/;
const signed = /[?&]sig=[^&]/;

/**
 * Returns whether anybody can read the URL: its host is a name of public DNS, and not one that a provider reads with the
 * operator's account. A name may still have an internal address, which only the provider can find out.
 */
export function isPublicContent({ hostname, search }: URL): boolean {
  const host = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname;
  const labels = host.split('.');
  const last = labels.at(-1) ?? '';
  // An address in brackets has no label like this; every other form of an IPv4 address is four numbers by now.
  if (labels.length < 2 || !/^(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})$/.test(last)) return false;
  if (labels.includes('') || localLabels.has(last)) return false;
  return !isAccount(labels) || (azureStorage.test(host) && signed.test(search));
}

function isAccount(labels: readonly string[]): boolean {
  for (let at = 0; at < labels.length - 1; at++) if (accounts.has(labels.slice(at).join('.'))) return true;
  return false;
}
