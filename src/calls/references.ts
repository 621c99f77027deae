/** The keys by which a body speaks of objects in the provider's account, the most telling first. */
const keys = [
  'previous_response_id',
  'conversation',
  'input_file_id',
  'training_file',
  'validation_file',
  'vector_store_ids',
  'file_id',
  'file_ids',
] as const;

/** How all of them end. Cheap to look for, and nearly always the end of it: a long prompt is not made a text. */
const endings = ['_id"', '_ids"', '_file"', '"conversation"'];

/** A key that is written with escapes is not found: then no account is preferred. */
const mentions = new RegExp(`"(?:${keys.join('|')})"\\s*:\\s*["{[]`);

/** How many objects of one call are looked up. */
const most = 8;

/** The ids of the objects that a path speaks of. Items of a conversation are known by the conversation alone. */
export function pathReferences(params: Record<string, string>): string[] {
  return Object.entries(params).flatMap(([name, value]) => (name === 'item_id' ? [] : [value]));
}

/** The ids of the objects that a JSON body speaks of, at whatever depth. */
export function bodyReferences(body: Buffer): string[] {
  if (!endings.some((ending) => body.includes(ending))) return [];
  const text = body.toString('utf8');
  if (!mentions.test(text)) return [];
  const found = new Map<string, number>();
  const open: unknown[] = [parsed(text)];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      const rank = (keys as readonly string[]).indexOf(key);
      if (rank !== -1) for (const id of idsIn(inner)) found.set(id, Math.min(rank, found.get(id) ?? rank));
      open.push(inner);
    }
  }
  const byRank = [...found].sort(([, left], [, right]) => left - right);
  return byRank.slice(0, most).map(([id]) => id);
}

/** The ids of the objects that an answer, or the first event of one, says were made. */
export function madeIn(value: unknown, makes: readonly string[]): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { response } = value as { response?: unknown };
  const object = (typeof response === 'object' && response !== null ? response : value) as Record<
    string,
    unknown
  >;
  return makes.flatMap((key) => idsIn(object[key])).slice(0, 64);
}

/** An id, a list of ids, or an object that has one. */
function idsIn(value: unknown): string[] {
  if (typeof value === 'string') return value === '' || value.length > 512 ? [] : [value];
  if (Array.isArray(value)) return value.filter((item) => typeof item === 'string').flatMap(idsIn);
  return typeof value === 'object' && value !== null ? idsIn((value as { id?: unknown }).id ?? '') : [];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The provider's to judge.
    return undefined;
  }
}
