/** Tokens of one byte of text, before anything is known of the team's own texts. */
const tokensPerByte = 1 / 3;
/** Tokens that an embedded image, sound or file counts as. */
const embeddedTokens = 1_000;
const marker = ';base64,';
const quote = 0x22;

/**
 * Estimates the input tokens of a JSON request from its bytes. Embedded base64 counts a fixed number of tokens.
 *
 * @param body the request as it was sent
 */
export function estimateInput(body: Uint8Array): number {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  let text = bytes.length;
  let embedded = 0;
  for (let at = bytes.indexOf(marker); at !== -1; at = bytes.indexOf(marker, at)) {
    const end = bytes.indexOf(quote, at);
    const stop = end === -1 ? bytes.length : end;
    text -= stop - at;
    embedded += 1;
    at = stop;
  }
  return Math.ceil(text * tokensPerByte) + embedded * embeddedTokens;
}

/** Estimates the output tokens of a stream from the bytes of content that arrived. */
export function estimateOutput(contentBytes: number): number {
  return Math.ceil(contentBytes * tokensPerByte);
}
