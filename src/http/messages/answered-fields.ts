/** Kind of object in a management request. */
export type ObjectKind = 'model' | 'team' | 'key';

type Fields = Record<string, unknown>;

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

const stamps = 'created_at created_by updated_at updated_by';

/** Fields of responses that requests cannot change. */
const answered: Readonly<Record<ObjectKind, ReadonlySet<string>>> = {
  model: words(stamps),
  team: words(`${stamps} litellm_model_table keys keys_count team_memberships data`),
  key: words(`${stamps} key_name token_id previous`),
};

/** Such fields of `model_info`. LiteLLM's Terraform provider sends `tier` with every model. */
const answeredInfo = words(`${stamps} db_model team_public_model_name needs_reentry tier`);
/** Also returned in `model_info`; changed in `litellm_params`. */
const shownCosts = ['input_cost_per_token', 'output_cost_per_token'];

/** Returns the kind of the objects of a path. */
export function objectKind(path: string): ObjectKind | undefined {
  const [, first] = path.split('/');
  if (path === '/health/test_connection') return 'model';
  return first === 'model' || first === 'team' || first === 'key' ? first : undefined;
}

/**
 * Returns a body without the fields that only responses have, so that clients can read an object, change it and
 * write it back.
 *
 * @param known fields that the request takes
 */
export function withoutAnswered(kind: ObjectKind, body: unknown, known: object): unknown {
  if (!isObject(body)) return body;
  const isDropped = (name: string) => answered[kind].has(name) || (kind === 'model' && repeatsId(body, name));
  const kept = without(body, (name) => isDropped(name) && !Object.hasOwn(known, name));
  const { model_info: info, litellm_params: params } = kept;
  if (kind !== 'model' || !isObject(info)) return kept;
  const isShownCost = (name: string) =>
    shownCosts.includes(name) && isObject(params) && params[name] === info[name];
  return { ...kept, model_info: without(info, (name) => answeredInfo.has(name) || isShownCost(name)) };
}

/**
 * Returns whether a field is a `model_id` equal to the id of `model_info`. A `model_id` without it would change
 * nothing, so it is rejected.
 */
function repeatsId({ model_id: id, model_info: info }: Fields, name: string): boolean {
  return name === 'model_id' && isObject(info) && info.id === id;
}

function without(fields: Fields, isDropped: (name: string) => boolean): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !isDropped(name)));
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
