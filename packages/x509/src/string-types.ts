import { tags } from './tags.ts';

type Decode = (content: Buffer) => string | undefined;

/** How each ASN.1 string type becomes text; undefined from `decode` means octets that the type does not have. */
const decoders: ReadonlyMap<number, Decode> = new Map<number, Decode>([
  [tags.utf8String, decodeUtf8],
  // '*', '&' and '@' are no PrintableString, but old roots have them, and every validator takes them
  [tags.printableString, matching(/^[A-Za-z0-9 '()+,\-./:=?*&@]*$/)],
  [tags.numericString, matching(/^[0-9 ]*$/)],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: IA5String is exactly this range
  [tags.ia5String, matching(/^[\x00-\x7f]*$/)],
  [tags.visibleString, matching(/^[\x20-\x7e]*$/)],
  // RFC 5280 leaves T.61 open; like OpenSSL and Go we read Latin-1
  [tags.teletexString, (content) => content.toString('latin1')],
  [tags.bmpString, decodeBmp],
  [tags.universalString, decodeUniversal],
]);

export function isStringTag(tag: number): boolean {
  return decoders.has(tag);
}

/** The text of a string type's content, or undefined where it is malformed. */
export function decodeString(tag: number, content: Uint8Array): string | undefined {
  const decode = decoders.get(tag);
  return decode?.(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
}

/** Whether RFC 5280 lets the text be a PrintableString. */
export function isPrintable(text: string): boolean {
  return /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(content: Buffer): string | undefined {
  try {
    return utf8.decode(content);
  } catch {
    return undefined;
  }
}

function matching(alphabet: RegExp): Decode {
  return (content) => {
    const text = content.toString('latin1');
    return alphabet.test(text) ? text : undefined;
  };
}

function decodeBmp(content: Buffer): string | undefined {
  if (content.byteLength % 2 !== 0) return undefined;
  const text = Buffer.from(content).swap16().toString('utf16le');
  // BMPString is UCS-2: no surrogates
  return /[\ud800-\udfff]/.test(text) ? undefined : text;
}

function decodeUniversal(content: Buffer): string | undefined {
  if (content.byteLength % 4 !== 0) return undefined;
  let text = '';
  for (let at = 0; at < content.byteLength; at += 4) {
    const point = content.readUInt32BE(at);
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return undefined;
    text += String.fromCodePoint(point);
  }
  return text;
}
