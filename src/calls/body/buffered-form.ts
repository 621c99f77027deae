import type { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { carriesModel, type Endpoint } from '../endpoints/match.ts';
import { unknownId } from '../endpoints/unknown.ts';
import type { FormBody } from '../form/body.ts';
import { formContentType } from '../form/content-type.ts';
import type { CallControls } from '../json/call-controls.ts';
import { asksForStream, formControls } from './form-controls.ts';
import { type BodyContext, HeldBody, isReplaced, isUnnamed, type RequestBody } from './request-body.ts';
import { statefulFormReason } from './stateless-check.ts';

/** A form that is buffered whole, so that it can be sent again. */
export class BufferedForm extends HeldBody implements RequestBody {
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly controls: CallControls | undefined;
  readonly tags: readonly string[] | undefined;
  readonly contentType: string;
  readonly #form: FormBody;
  readonly #endpoint: Endpoint;
  readonly #writesModel: boolean;

  constructor(form: FormBody, boundary: string, context: BodyContext) {
    super();
    const { endpoint } = context;
    const carries = carriesModel(endpoint);
    this.#form = form;
    this.#endpoint = endpoint;
    this.#writesModel = carries && !isUnnamed(context, form.model !== undefined);
    this.model = carries ? form.model : undefined;
    this.stream = asksForStream(form);
    this.controls = endpoint.id === unknownId ? undefined : formControls(form);
    this.tags = this.controls?.tags;
    this.contentType = formContentType(boundary);
  }

  statefulError(deployment: Deployment): RouterError | undefined {
    return statefulFormReason(this.#endpoint, this.#form.names, deployment);
  }

  bytesFor(deployment: Deployment): Buffer | Buffer[] {
    const cut = this.controls?.withheld(deployment) ?? [];
    const writesModel = this.#writesModel && isReplaced(this.#endpoint, this.model, deployment);
    if (!writesModel && cut.length === 0) return this.#form.bytes;
    return this.#form.pieces({ model: writesModel ? deployment.target.model : undefined, cut });
  }
}
