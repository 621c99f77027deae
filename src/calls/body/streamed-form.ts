import type { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { carriesModel } from '../endpoints/match.ts';
import { unknownId } from '../endpoints/unknown.ts';
import { formContentType } from '../form/content-type.ts';
import type { CallControls } from '../json/call-controls.ts';
import { asksForStream, formControls, lateControl } from './form-controls.ts';
import { type FormPlan, type OpenForm, planForm, restOfForm } from './form-plan.ts';
import { type BodyContext, isReplaced, type RequestBody } from './request-body.ts';
import { statefulFormReason } from './stateless-check.ts';

/** A form that is sent while it arrives. */
export class StreamedForm implements RequestBody {
  readonly model: string | undefined;
  readonly stream: true | undefined;
  readonly controls: CallControls | undefined;
  readonly tags: readonly string[] | undefined;
  readonly lateModel: RouterError | undefined;
  readonly contentType: string;
  readonly #form: OpenForm;
  readonly #context: BodyContext;
  readonly #carriesModel: boolean;
  readonly #isKnown: boolean;

  constructor(form: OpenForm, context: BodyContext, lateModel?: RouterError) {
    this.lateModel = lateModel;
    this.#form = form;
    this.#context = context;
    this.#carriesModel = carriesModel(context.endpoint);
    this.model = this.#carriesModel ? form.scanner.model : undefined;
    this.stream = asksForStream(form.scanner) || undefined;
    this.#isKnown = context.endpoint.id !== unknownId;
    this.controls = this.#isKnown ? formControls(form.scanner) : undefined;
    this.tags = this.controls?.tags;
    this.contentType = formContentType(form.scanner.boundary);
  }

  statefulError(deployment: Deployment): RouterError | undefined {
    return this.#judge(this.#form.scanner.names, deployment);
  }

  bytesFor(deployment: Deployment): AsyncIterable<Uint8Array> {
    const judge = (names: readonly string[]) =>
      (this.#isKnown ? lateControl(names, deployment) : undefined) ??
      (deployment.teamId === null ? this.#judge(names, deployment) : undefined);
    return restOfForm(this.#form, this.#plan(deployment), judge);
  }

  lengthFor(deployment: Deployment): number | undefined {
    return this.#plan(deployment).length;
  }

  objectIds(): readonly string[] {
    return [];
  }

  keepsAnswer(): boolean {
    return true;
  }

  isRepeatable(): boolean {
    return !this.#form.source.begun;
  }

  release(): void {
    if (!this.#form.source.begun) this.#form.source.release();
  }

  #plan(deployment: Deployment): FormPlan {
    const cut = this.controls?.withheld(deployment) ?? [];
    const named = this.#carriesModel && isReplaced(this.#context.endpoint, this.model, deployment);
    return planForm(this.#form, this.#context, named, deployment, cut);
  }

  #judge(names: readonly string[], deployment: Deployment): RouterError | undefined {
    return statefulFormReason(this.#context.endpoint, names, deployment);
  }
}
