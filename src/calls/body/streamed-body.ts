import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import type { Content } from '../call.ts';
import { carriesModel } from '../endpoints/match.ts';
import { FormSpans, formOf } from '../form/body.ts';
import { formContentType, isForm } from '../form/content-type.ts';
import { FormScanner } from '../form/multipart-scanner.ts';
import { BodySource } from './body-source.ts';
import {
  type BodyLimits,
  type Envelope,
  emptyContent,
  formContent,
  plain,
  readContent,
} from './buffered-body.ts';
import { ByteCollector } from './byte-collector.ts';
import { statefulFormReason } from './stateful.ts';
import { type OpenForm, planForm, restOfForm } from './streamed-form.ts';

/** A form that ends by here is held whole, so that it can be tried again. */
const readAhead = 262_144;

/**
 * Reads a body that arrives in chunks. A form is sent while it arrives, once its model is known or if it carries none;
 * any other body is read whole first.
 *
 * @throws RouterError `request_too_large`, `invalid_request`; the signal's reason if it aborts
 */
export async function readStreamedContent(
  body: AsyncIterable<Uint8Array>,
  envelope: Envelope,
  limits: BodyLimits,
  signal: CallSignal | undefined,
): Promise<Content> {
  const source = new BodySource(body, limits.maxBodyBytes, envelope.length, signal, envelope.teamId);
  try {
    if (isForm(envelope.contentType)) {
      return await readForm(source, envelope.contentType, envelope, limits.maxHeldBytes);
    }
    const collected = new ByteCollector();
    for (let chunk = await source.next(); chunk; chunk = await source.next()) collected.add(chunk);
    return await readContent(collected.take(), envelope);
  } catch (error) {
    source.release();
    throw error;
  }
}

async function readForm(
  source: BodySource,
  contentType: string,
  envelope: Envelope,
  maxHeldBytes: number,
): Promise<Content> {
  const { endpoint, given, pathModel, defaultModel, length } = envelope;
  const scanner = new FormScanner(contentType);
  const spans = new FormSpans();
  const held = new ByteCollector();
  const named = carriesModel(endpoint);
  const known = pathModel ?? given;
  // With a length to announce, it helps to know whether the form has the field.
  const searching = () =>
    named && scanner.model === undefined && (known === undefined || length !== undefined);
  while (source.size <= readAhead || searching()) {
    const chunk = await source.next();
    if (chunk === undefined) {
      if (source.size === 0) return emptyContent(endpoint, envelope.method);
      scanner.end();
      return formContent(formOf(scanner, spans, held.take()), scanner.boundary, envelope);
    }
    for (const token of scanner.feed(chunk)) {
      spans.add(token);
      held.add(token.bytes);
    }
    if (source.size <= maxHeldBytes || !searching()) continue;
    if ((known ?? defaultModel) === undefined && !endpoint.modelOptional) throw modelTooLate(maxHeldBytes);
    break;
  }
  return openContent({ source, scanner, spans, head: held.take() }, envelope, named);
}

/** A form of which the end has not arrived. */
function openContent(form: OpenForm, envelope: Envelope, named: boolean): Content {
  const { source, scanner } = form;
  const stateful = (deployment: Deployment, names: readonly string[]) =>
    statefulFormReason(envelope.endpoint, names, deployment);
  const plan = (deployment: Deployment) => planForm(form, envelope, named, deployment);
  return {
    name: named ? scanner.model : undefined,
    stream: false,
    contentType: formContentType(scanner.boundary),
    stateful: (deployment) => stateful(deployment, scanner.names),
    bodyFor: (deployment) => {
      const judge = (names: readonly string[]) => stateful(deployment, names);
      return restOfForm(form, plan(deployment), deployment.teamId === null ? judge : undefined);
    },
    ...plain,
    lengthFor: (deployment) => plan(deployment).length,
    repeatable: () => !source.begun,
    release: () => {
      if (!source.begun) source.release();
    },
  };
}

function modelTooLate(limit: number): RouterError {
  const message = `The first ${limit} bytes of the form do not name its model: name it in the header x-team-model, or with ?model=.`;
  return new RouterError('request_too_large', message, { param: 'model' });
}
