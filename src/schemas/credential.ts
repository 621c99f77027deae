import { isMasked } from '../redact/mask.ts';
import { isHostName, isPlaceholder, isSecretReference, textAround } from './credential-forms.ts';
import { isIndirectValue } from './fields.ts';

/** The word for a credential in a message. */
export type CredentialNoun = 'key' | 'token' | 'secret';

/**
 * Returns the problem of a pasted credential and how to fix it; `undefined` if the credential is valid. The text
 * never contains any part of the credential.
 */
export function credentialProblem(value: string, noun: CredentialNoun): string | undefined {
  const text = value.trim();
  const alone = `must be the ${noun} alone`;
  if (text === '') return 'must not be empty';
  if (isIndirectValue(value) || isSecretReference(text)) {
    return 'must be the value itself, not a reference to one';
  }
  if (/^(sk-)?(\.{3,}|\u2026)$/.test(text)) return placeholder(noun);
  if (isMasked(value)) return masked(noun);
  if (/^curl\s/i.test(text)) return `${alone}. Paste only the ${noun} from the command.`;
  if (isJson(text)) return `${alone}. It looks like JSON. Paste only the value of the ${noun}.`;
  if (isAssignment(text)) return `${alone}. Remove the name and the "=" before it.`;
  if (isHeader(text)) return `${alone}. Remove the name and the ":" before it.`;
  if (scheme.test(text)) return `${alone}. Remove the word before it, such as "Bearer".`;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) || isHostName(text)) {
    return `${alone}. It is a URL. Send URLs in api_base.`;
  }
  if (holdsSeveral(text)) {
    return `must be one ${noun}. To use several, add a model with the same model_name for each.`;
  }
  const around = textAround(text);
  return (
    (around === undefined || visibleProblem(text, noun) !== undefined
      ? placeholderProblem(text, noun)
      : `${alone}. Remove what is ${around} it.`) ?? characterProblem(value, noun)
  );
}

/** Returns the problem of an id that is sent together with a credential, such as an organization's id. */
export function idProblem(value: string): string | undefined {
  const text = value.trim();
  if (text === '') return 'must not be empty';
  if (isIndirectValue(value)) return 'must be the value itself, not a reference to one';
  if (isJson(text) || isAssignment(text) || isHeader(text)) {
    return 'must be the id alone. Remove the text before and after it.';
  }
  if (/^<.*>$/.test(text)) return 'must not be a placeholder. Paste the id that the provider shows.';
  return characterProblem(value, 'id');
}

/**
 * Returns the problem of an extra header's value. Checks headers that carry a credential like `credentialProblem`.
 */
export function headerProblem(name: string, value: string): string | undefined {
  if (value === '') return 'must not be empty';
  if (isIndirectValue(value)) return 'must be the value itself, not a reference to one';
  if (isMasked(value)) return masked('value');
  // A blank value is allowed, because it contains no credential.
  const text = value.trim();
  if (text === '') return undefined;
  if (text.toLowerCase().startsWith(`${name.toLowerCase()}:`)) {
    return 'must be the value alone. Remove the name and the ":" before it.';
  }
  const problem = visibleProblem(value, 'value');
  if (problem !== undefined) return problem;
  if (text !== value) return 'must not begin or end with a space. Remove the spaces around it.';
  if (!/(^|[-_.])(key|token|secret|password|auth|authorization)$/i.test(name)) return undefined;
  return credentialProblem(value.replace(scheme, ''), /token$/i.test(name) ? 'token' : 'key');
}

const masked = (noun: string) => `must not be masked. Send the whole ${noun}.`;
const placeholder = (noun: string) =>
  `must not be a placeholder. Paste the ${noun} itself, as its issuer shows it.`;

const scheme = /^(bearer|basic|token|apikey|api-key|key)([\s:=]|%20)+(?=\S)/i;

/** Returns whether a text is an object, a list, or an object's member with its name. */
function isJson(text: string): boolean {
  return (
    /^[{[]\s*["'{[]/.test(text) ||
    /^(["'])[\w.-]+\1\s*:/.test(text) ||
    (/^\{[^{]/.test(text) && text.endsWith('}'))
  );
}

/**
 * Matches `OPENAI_API_KEY=...`, also after `export`, `set`, `$env:` and the like. Base64 that ends with "=" has no
 * such name.
 */
function isAssignment(text: string): boolean {
  const [, command, name = ''] =
    /^(export\s+|setx?\s+|env\s+|const\s+|let\s+|var\s+|\$env:|-e\s+|--env\s+)?([A-Za-z_][\w.-]{0,127})\s*:?=>?\s*[^=\s]/i.exec(
      text,
    ) ?? [];
  if (command !== undefined) return true;
  return (
    /^(export|setx)\s+\w/i.test(text) ||
    // A name with a hyphen may be the beginning of a self-hosted server's own key, which ends with "=".
    (/api|key|token|secret|passw|auth|bearer|credential|openai|azure|anthropic/i.test(name) &&
      (!name.includes('-') || /^(x-)?([a-z]+-)?api-key$/i.test(name)))
  );
}

/** Matches `Authorization: ...`, `api-key: ...` and YAML's `OPENAI_API_KEY: ...`, also after curl's `-H`. */
function isHeader(text: string): boolean {
  return /^(-H\s*|--header\s+)?["']?(proxy-|x-)?(authorization|api[-_]?key|([a-z0-9]+[-_])+(key|token|secret))["']?\s*:/i.test(
    text,
  );
}

/** Returns whether a text contains two long words, or the same word twice. */
function holdsSeveral(text: string): boolean {
  const long = text.split(/[\s,;|]+/).filter((part) => part.length >= 16);
  const half = text.length / 2;
  const twice = /^[a-z]+[-_]/i.test(text) && text.slice(0, half) === text.slice(half);
  return (
    long.length > 1 || (twice && half >= 16) || (text.match(/sk-(proj|ant|svcacct|or)-/g)?.length ?? 0) > 1
  );
}

const quotes = /["'`\u00ab\u00bb\u2018-\u201f\u2039\u203a\u300c-\u300f\uff02\uff07]/;

function characterProblem(value: string, noun: CredentialNoun | 'id'): string | undefined {
  const text = value.trim();
  // Credentials of self-hosted servers may contain any character, but a quotation mark at an end was pasted by
  // mistake.
  if (quotes.test(text.slice(0, 1)) || quotes.test(text.slice(-1)) || /&quot;/i.test(text)) {
    return `must be the ${noun} alone. Remove the quotation marks.`;
  }
  const entity = /&(nbsp|lt|gt|amp|#\d+);/i.exec(text)?.[0];
  if (entity !== undefined) return `must be the ${noun} alone. Remove the "${entity}" of the web page.`;
  const problem = visibleProblem(value, noun);
  if (problem !== undefined) return problem;
  if (text !== value) return `must be the ${noun} alone. Remove the spaces around it.`;
  if (/^[\w.~+/=:|@\s-]*$/.test(value) && /\s/.test(value)) {
    return `must be one ${noun} without spaces. Paste nothing else with it.`;
  }
  if (/\\[nrt]$/.test(value)) return `must be the ${noun} alone. Remove the "\\n" after it.`;
  if (/%(0[ad]|20)$/i.test(value))
    return `must be the ${noun} alone. Remove the "%" and its digits after it.`;
  if (/\s#/.test(value)) return `must be the ${noun} alone. Remove the comment after it.`;
  if (/^\(.*\)$/.test(value)) return `must be the ${noun} alone. Remove the parentheses.`;
  if (/^[,;]|[,;]$/.test(value)) return `must be the ${noun} alone. Remove the "${/[,;]/.exec(value)?.[0]}".`;
  return undefined;
}

const again = (noun: string) => `Copy the ${noun} again from its issuer.`;

/**
 * Rejects characters that a header cannot carry. Only the code of an invisible character is shown, because it reveals
 * nothing.
 */
function visibleProblem(value: string, noun: string): string | undefined {
  if (/[\r\n\u0085\u2028\u2029]/.test(value)) return 'must be one line. Remove the line break.';
  const hidden = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Zs}\p{Cc}\p{Co}\p{Cs}\u2800]/u;
  for (const character of value) {
    if (character >= ' ' && character <= '~') continue;
    if (!hidden.test(character)) {
      return `must be ASCII. It contains a character that a header cannot carry. ${again(noun)}`;
    }
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    return `must contain visible characters only. It contains the invisible character U+${code}. ${again(noun)}`;
  }
  return undefined;
}

function placeholderProblem(text: string, noun: CredentialNoun): string | undefined {
  if (/\.{3}|\u2026|\*{3}|\u2022{2}/.test(text)) return masked(noun);
  if (/^([A-Z][A-Z0-9]*_)*(API_KEY|AD_TOKEN|AUTH_TOKEN|ACCESS_TOKEN|CLIENT_SECRET)$/.test(text)) {
    return `must not be the name of a variable. Paste the ${noun} itself.`;
  }
  return isPlaceholder(text) ? placeholder(noun) : undefined;
}
