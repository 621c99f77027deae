import { FormScanner, type FormToken } from './form-scanner.ts';

/** A multipart body in which the model was found, if it names one. */
export interface FormBody {
  model?: string;
  /** The same bytes with another model; with one put at the end, if none was named. */
  replace: (model: string) => Uint8Array;
}

/**
 * Finds the field `model` in a multipart body that is held in memory. Only its bytes are ever changed.
 *
 * @throws RouterError `invalid_request` if the form cannot be read, or a field is forbidden or names the model twice
 */
export function readFormModel(body: Uint8Array, contentType: string): FormBody {
  const scanner = new FormScanner(contentType);
  const tokens = [...scanner.feed(body)];
  scanner.end();
  return formOf(scanner, tokens);
}

/** The form that these tokens are, all of them. */
export function formOf(scanner: FormScanner, tokens: readonly FormToken[]): FormBody {
  return {
    ...(scanner.model === undefined ? {} : { model: scanner.model }),
    replace: (model) => Buffer.concat(tokens.flatMap((token) => written(scanner, token, model))),
  };
}

/** A token as the provider gets it: with its own model, which stands at the end of a form that names none. */
export function written(scanner: FormScanner, { kind, bytes }: FormToken, model: string): Buffer[] {
  if (kind === 'model') return [Buffer.from(model)];
  if (kind === 'data' || scanner.model !== undefined) return [bytes];
  const head = '\r\nContent-Disposition: form-data; name="model"\r\n\r\n';
  return [Buffer.from(`${head}${model}\r\n--${scanner.boundary}`), bytes];
}
