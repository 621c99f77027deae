import { type Caller, resolve, type VisibleModels } from '../calls/routing/resolve.ts';
import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import { type ModelSpan, mayNameModel, modelSpans, parseEvent, replaceModels } from './event-models.ts';

/** Translates the names of models in the events of one session. */
export class SessionModels {
  /** Read again by each check of the session. */
  models: VisibleModels;
  caller: Caller;
  readonly #deployment: Deployment;
  /** Whether a transcription's model is the session's own, because the session has no other. */
  readonly #transcribes: boolean;

  constructor(models: VisibleModels, caller: Caller, deployment: Deployment, transcribes: boolean) {
    this.models = models;
    this.caller = caller;
    this.#deployment = deployment;
    this.#transcribes = transcribes;
  }

  /**
   * Returns a client's event as the provider gets it.
   *
   * @throws RouterError `invalid_request` for an event that is no JSON object, names a model of another deployment, or
   * writes the key of a model in other letters; `model_not_found`
   */
  toProvider(text: string): string {
    if (!mayNameModel(text)) return text;
    parseEvent(text);
    return replaceModels(text, modelSpans(text), ({ name, nested }) =>
      nested && !this.#transcribes ? this.#nestedName(name) : this.#providerName(name),
    );
  }

  /** Returns a provider's event as the client gets it: by the public name, where it has the provider's. */
  toClient(text: string): string {
    const { publicName, target } = this.#deployment;
    if (publicName === target.model || !text.includes('"model"')) return text;
    let spans: readonly ModelSpan[];
    try {
      parseEvent(text);
      spans = modelSpans(text);
    } catch {
      return text;
    }
    return replaceModels(text, spans, ({ name, nested }) =>
      name === target.model && (!nested || this.#transcribes) ? publicName : name,
    );
  }

  #providerName(name: string): string {
    const { target, publicName } = this.#deployment;
    const known = this.#isOwn(name);
    if (known === true) return target.model;
    if (known === undefined && name === target.model) return name;
    const message =
      known === undefined
        ? `Model ${JSON.stringify(name.slice(0, 256))} not found for this session. It uses ${JSON.stringify(publicName)}.`
        : `model: must be ${JSON.stringify(publicName)} in this session. Open another session for another model.`;
    const code = known === undefined ? 'model_not_found' : 'invalid_request';
    throw new RouterError(code, message, { param: 'model' });
  }

  /** A model that only transcribes inside of the session is the provider's to judge. */
  #nestedName(name: string): string {
    return this.#isOwn(name) === true ? this.#deployment.target.model : name;
  }

  /** Returns whether a name means the deployment of the session; `undefined` if the caller has no such model. */
  #isOwn(name: string): boolean | undefined {
    try {
      const { deployments } = resolve(this.models, this.caller, name);
      return deployments.some(({ id }) => id === this.#deployment.id);
    } catch (error) {
      if (RouterError.isInstance(error) && error.code === 'model_not_found') return undefined;
      throw error;
    }
  }
}
