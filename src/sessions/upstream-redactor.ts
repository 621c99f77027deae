import type { Deployment } from '../teams/records/deployment.ts';
import { secretValues } from '../teams/records/sealed-secrets.ts';

/** Replaces a deployment's secrets in what its provider sends over a session. */
export class UpstreamRedactor {
  readonly #deployment: Deployment;
  readonly #tokens: readonly string[];
  /** Values that no text of a model contains by chance. */
  readonly #values: readonly string[];

  constructor(deployment: Deployment, tokens: readonly string[] = []) {
    this.#deployment = deployment;
    this.#tokens = tokens;
    const stored = secretValues(deployment.secrets(), true).filter(({ inAnswers }) => inAnswers);
    this.#values = [...stored.map(({ value }) => value), ...tokens];
  }

  redact(text: string): string {
    const isError = text.length <= maxErrorCharacters && text.includes('"error"');
    if (!isError && !this.#values.some((value) => text.includes(value))) return text;
    return this.#deployment.redactor(this.#tokens).text(text);
  }
}

/** A longer text is no error event. */
const maxErrorCharacters = 65_536;
