import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { cutBytes, editForm, type FormChanges, type FormSpans, modelPart, written } from '../form/body.ts';
import type { FormScanner, FormToken } from '../form/multipart-scanner.ts';
import type { BodySource } from './body-source.ts';
import { type BodyContext, isUnnamed } from './request-body.ts';

/** What of a form has been read, and the rest that is still to be read. */
export interface OpenForm {
  source: BodySource;
  scanner: FormScanner;
  spans: FormSpans;
  /** The bytes that the spans are about. */
  head: Buffer;
}

/** How a form that is sent while it arrives reads for one deployment. */
export interface FormPlan extends FormChanges {
  /** Bytes that the provider gets; `undefined`: not known, so it is sent chunked. */
  length: number | undefined;
  /** The value that a field `model` must have if it arrives after the first bytes were sent. */
  expected: string | undefined;
  /** Whether the form is sent as it came, because its API needs no model: a field `model` that arrives later is refused. */
  unnamed: boolean;
  /** Bytes that a field `model` which arrives later is padded by, so that `length` holds without one too. */
  padding: ((model: string) => number) | undefined;
}

/**
 * Plans how a form is forwarded. A form with a length is forwarded with a length. Until the field `model`
 * arrives, the length is computed for the field with the model's other name. If the name is in the path, as in
 * Azure's form, the form may lack the field. Then the length includes the added field, and a field that arrives
 * is padded by a header line.
 */
export function planForm(
  { scanner, spans }: OpenForm,
  context: BodyContext,
  named: boolean,
  { target }: Pick<Deployment, 'target'>,
  cut: readonly string[] = [],
): FormPlan {
  const { pathModel } = context;
  const length = context.length === undefined ? undefined : context.length - cutBytes(spans, cut);
  const unnamed = isUnnamed(context, spans.model !== undefined);
  const model = named && !unnamed ? target.model : undefined;
  const expected = pathModel === undefined ? (context.given ?? context.defaultModel) : undefined;
  const plan = { model, cut, expected, unnamed, padding: undefined };
  if (length === undefined || model === undefined) return { ...plan, length };
  const size = Buffer.byteLength(model);
  if (spans.model !== undefined)
    return { ...plan, length: length - (spans.model.end - spans.model.start) + size };
  if (expected !== undefined) return { ...plan, length: length - Buffer.byteLength(expected) + size };
  const added = modelPart(scanner.boundary, model).length;
  return {
    ...plan,
    length: length + added,
    padding: (found) => added - size + Buffer.byteLength(found),
  };
}

/**
 * Yields the form while it arrives, with the provider's own name of the model.
 *
 * @param judge returns the error if fields of these names may not arrive now
 * @throws RouterError `invalid_request` if the rest of the form is malformed or contradicts the plan
 */
export async function* restOfForm(
  form: OpenForm,
  plan: FormPlan,
  judge: (names: readonly string[]) => RouterError | undefined,
): AsyncGenerator<Uint8Array> {
  const { source, scanner } = form;
  source.begun = true;
  let judged = scanner.names.length;
  try {
    yield* headOfForm(form, plan);
    for (let chunk = await source.next(); chunk; chunk = await source.next()) {
      for (const token of scanner.feed(chunk)) {
        // The name of a part is known before its head is passed on.
        if (scanner.names.length > judged) {
          const refused = judge(scanner.names.slice(judged));
          if (refused !== undefined) throw refused;
          judged = scanner.names.length;
        }
        yield* later(scanner, token, plan);
      }
    }
    scanner.end();
  } finally {
    source.release();
  }
}

function headOfForm(form: OpenForm, plan: FormPlan): readonly Uint8Array[] {
  const { head, spans, scanner } = form;
  form.head = Buffer.alloc(0);
  return editForm(head, spans, scanner.boundary, plan);
}

function* later(scanner: FormScanner, token: FormToken, plan: FormPlan): Generator<Uint8Array> {
  const { model, expected, unnamed, padding, length } = plan;
  if (unnamed && token.kind === 'model') throw modelLate();
  if (model === undefined) {
    yield token.bytes;
    return;
  }
  if (token.kind === 'gap' && padding !== undefined) yield paddingLine(padding(scanner.model ?? ''));
  if (token.kind === 'model' && expected !== undefined && scanner.model !== expected) throw otherModel();
  const lacking = token.kind === 'close' && scanner.model === undefined;
  if (lacking && length !== undefined && expected !== undefined) throw modelLacking();
  yield* written(scanner, token, model);
}

/** A header of the part that every parser ignores. */
function paddingLine(length: number): Buffer {
  const start = 'X-Padding: ';
  return Buffer.from(`${start}${'-'.repeat(length - start.length - 2)}\r\n`);
}

function otherModel(): RouterError {
  const message =
    'The form names another model than ?model=, the header x-team-model or the default model. Put the field model in front of the file.';
  return new RouterError('invalid_request', message, { param: 'model' });
}

function modelLate(): RouterError {
  const message =
    'The form names its model behind a long file: put the field model in front of the file, or name it in the header x-team-model, or with ?model=.';
  return new RouterError('invalid_request', message, { param: 'model' });
}

function modelLacking(): RouterError {
  const message = 'A form this long needs a field model. Add it to the form, in front of the file.';
  return new RouterError('invalid_request', message, { param: 'model' });
}
