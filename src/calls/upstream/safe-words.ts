import { decisiveCodes, meaningCodes, requestCodes, requestTypes } from './answer-codes.ts';

/**
 * The words that a team may read of what the provider of a shared deployment says: those of messages about a request,
 * and of the names of fields, codes and types. A word for an account, a host or a person is not one of them, so no
 * message can name the operator's.
 */
const words: ReadonlySet<string> = new Set(
  `a above abs accept accepted accepts action add additional after all allowed already also an and annotations any api
  apply approximate are argument arguments array arrays as ask assistant at audio auto available avoid b be because been
  before begin being below best bias billing bit bits blocked body boolean both bool budget busy but bytes by cache call
  called calling calls can cannot capability capacity category cause caused change character characters chat check choice
  choices choose chunk chunking city code codes combination combine combined compact complete completion completions
  compression computer concurrency concurrent configured conflict contain contained containing contains content contents
  context control conversation correct corrupt corrupted could count create created cropped current custom cut data date
  day decode decoded decoding deep default defined definition delta denied deprecated depth description detail detailed
  detected developer did different dimension dimensions do document does doesn don done due duplicate duplicated duration
  during each echo edit effort either element elements embedding embeddings empty enabled encode encoded encoding end
  ended ends engine enough ensure enum equal error errors escape event every exactly exceed exceeded exceeds executed
  exist exists expect expected extra fail failed failure false fetch few fewer field fields file filename files filter
  filtered filtering finish first fix flagged flex float following follows for forbidden format formats forward found
  frequency from function functions further generate generated generating generation get give given got grammar greater
  guidance guideline guidelines had harm harmful has have hate header headers height hidden high higher hour hours how
  however http i id identifier ids if image images immediately in inappropriate include included includes including
  incompatible incorrect index input inputs instead instruction instructions insufficient integer integers internal into
  invalid is isn it item items its json key keys kind known large larger last latency least length less level like limit
  limited limits line lines list lists locate logit logprob logprobs long longer lower management mask match matches
  matching max maximum may media medium message messages metadata method mime min minimum minute minutes missing mode
  model moderation modalities modality model's modify more most multiple must n name names needs negative nested new no
  non none not nothing null number numbers object objects of off on once one ones only open operation option optional
  options or order other our out outside output outputs over overloaded own p page parallel param parameter parameters
  params parse parsed parsing part parts pass passed patch path pattern payload penalty per percent permitted phrase
  pixels place please policies policy position positive possible preceded precedes prediction preferred presence
  present previous prior problem process processed processing prohibited prompt prompts properties property provide
  provided quality query quota range rate read readable reason reasoning reasons receive received recognized reduce
  refer reference refusal refuse refused regenerate regex reject rejected remove repeated reply request requested
  requests require required requires reserved resize resolution respond response responses rest result resulted results
  retry return returned risk role roles s safe safety same sampling schema second seconds seed self send sent sentence
  sequence server service set setting sexual should shorter similar since single size sizes small smaller so some source
  space specified specify specifying speech speed start stop stopped stream streaming strict string strings structure
  structured style subset such suffix support supported supports syntax system t take taken temperature terms text than
  that the them then there these they this threshold through tier time timeout timestamp to together token tokens too
  tool tools top total transcript transcription transcriptions translation triggered trigger triggering true truncated
  truncation try turn two type types unable under unexpected unicode unique unknown unless unprocessable unrecognized
  unsupported until up upload uploaded url urls us usage use used user uses using utf valid validate validation value
  values verbosity version video violate violated violates violating violation violence vision voice was way we web
  were what when where whether which while width will window with within without word words would write wrong you your
  zero`.split(/\s+/),
);

const knownCodes: ReadonlySet<string> = new Set([
  ...[...decisiveCodes, ...meaningCodes].flatMap(([, codes]) => codes),
  ...requestCodes,
  ...requestTypes,
]);

const maxLength = 1_024;
const maxCode = 99_999;

/** Returns a `code`, `type` or `param` of an error if it consists of known words; `null` otherwise. */
export function safeToken(value: unknown): string | number | null {
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) <= maxCode ? value : null;
  if (typeof value !== 'string' || !/^[a-z0-9_.\-[\]]{1,64}$/i.test(value)) return null;
  const known =
    /^\d{1,5}$/.test(value) ||
    isKnownName(value) ||
    knownCodes.has(value.toLowerCase().replace(/[^a-z0-9]/g, ''));
  return known ? value : null;
}

/**
 * Returns a message with `...` for all that is neither a known word, a field's name nor a number of at most 7 digits;
 * `undefined` if too little is left to understand.
 */
export function safeWords(message: string): string | undefined {
  const kept: string[] = [];
  let words = 0;
  let removed = 0;
  for (const token of message.slice(0, maxLength).replaceAll('\u2019', "'").trim().split(/\s+/)) {
    const core = withoutPunctuation(token);
    if (isPlain(core)) {
      kept.push(token);
      if (core !== '') words += 1;
    } else {
      removed += 1;
      if (kept.at(-1) !== '...') kept.push('...');
    }
  }
  return words < 2 || removed > words ? undefined : kept.join(' ');
}

function isPlain(core: string): boolean {
  if (core === '' || /^-?\d{1,7}(\.\d{1,4})?%?$/.test(core)) return true;
  return core.split(/[/']/).every(isKnownName);
}

/** Returns whether a name such as `messages[0].content` or `InvalidParameter` consists of known words. */
function isKnownName(name: string): boolean {
  if (!/^[a-z]/i.test(name)) return false;
  const pieces = name
    .replace(/\[(\d{1,4})\]|\.(\d{1,4})(?=\.|$)/g, '')
    .split(/[_.\-[\]]|(?<=[a-z])(?=[A-Z])/);
  return pieces.every((piece) => piece === '' || words.has(piece.toLowerCase()));
}

const punctuation = new Set('()[]{}<>"\'`.,;:!?=*-');

function withoutPunctuation(token: string): string {
  let start = 0;
  let end = token.length;
  while (start < end && punctuation.has(token[start] ?? '')) start++;
  while (end > start && punctuation.has(token[end - 1] ?? '')) end--;
  // A closing bracket may belong to a field's name, and a sign to a number.
  const before = token[start - 1] === '-' && /\d/.test(token[start] ?? '') ? start - 1 : start;
  return token.slice(before, end);
}
