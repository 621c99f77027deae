/** Maximum number of characters of a string whose schema has no limit. */
const maxCharacters = 65_536;
/** Maximum depth of a value that is searched. Documented bodies are less deep. */
const maxDepth = 32;

/** The parts of a schema that say how long its strings may be. */
interface Described {
  shape?: Record<string, Described>;
  element?: Described;
  options?: readonly Described[];
  /** The first schema of a pipe. */
  in?: Described;
  maxLength?: number | null;
  unwrap?: () => Described;
}

/** A string that is too long. */
export interface LongText {
  path: PropertyKey[];
  max: number;
}

/**
 * Returns the strings in `value` that are longer than their schema allows. Checked before anything else, because a pattern
 * or a refinement of a schema reads a string of any length.
 */
export function longTexts(schema: unknown, value: unknown): LongText[] {
  const found: LongText[] = [];
  collect([schema as Described], value, [], found);
  return found;
}

/** @param schemas the forms that the value may have */
function collect(
  schemas: readonly Described[],
  value: unknown,
  path: PropertyKey[],
  found: LongText[],
): void {
  if (typeof value === 'string') {
    const limits = formsOf(schemas).map(({ maxLength }) => maxLength ?? maxCharacters);
    const max = limits.length === 0 ? maxCharacters : Math.max(...limits);
    if (value.length > max) found.push({ path, max });
    return;
  }
  if (typeof value !== 'object' || value === null || path.length === maxDepth) return;
  const forms = formsOf(schemas);
  if (Array.isArray(value)) {
    const elements = forms.flatMap(({ element }) => (element === undefined ? [] : [element]));
    for (const [at, item] of value.entries()) collect(elements, item, [...path, at], found);
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    if (typeof item !== 'string' && typeof item !== 'object') continue;
    const members = forms.flatMap(({ shape }) =>
      shape !== undefined && Object.hasOwn(shape, name) ? [shape[name] as Described] : [],
    );
    collect(members, item, [...path, name], found);
  }
}

function formsOf(schemas: readonly Described[]): Described[] {
  return schemas.flatMap((schema) => {
    let current = schema;
    while (current.shape === undefined && current.options === undefined && current.element === undefined) {
      const inner: Described | undefined = current.in ?? current.unwrap?.();
      if (inner === undefined) break;
      current = inner;
    }
    return current.options === undefined ? [current] : formsOf(current.options);
  });
}
