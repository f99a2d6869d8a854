import { createHash, verify } from 'node:crypto';
import {
  CountersignError,
  concatBytes,
  type Denial,
  denial,
  equalBytes,
  fromBase64,
  fromHex,
  toBase64,
  toHex,
} from '@countersign/base';
import { keyKindOf, parseSpki, publicKeyOf, type SubjectPublicKeyInfo } from '@countersign/x509';

/** A key that notes are verified with: C2SP signed-note, Ed25519 alone. */
export interface NoteKey {
  /** For a log, its origin: `example.com/log/3f2a9c01`. */
  readonly name: string;
  /** The first four octets of SHA-256 over name and key, lowercase hex. */
  readonly id: string;
  readonly spki: SubjectPublicKeyInfo;
}

const ed25519Type = 1;
/** DER of an Ed25519 SubjectPublicKeyInfo before its 32 octets (RFC 8410 §4). */
const spkiPrefix = new Uint8Array([48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0]);
const maxNoteBytes = 64 * 1024;
/** C2SP signed-note: at least 16 are accepted. */
const maxSignatures = 32;

/** @throws CountersignError ERR_LOG_KEY for another key than Ed25519, or a name that no note can carry */
export function noteKeyOf(name: string, spki: SubjectPublicKeyInfo): NoteKey {
  if (keyKindOf(spki)?.type !== 'Ed25519') throw badKey('it is not an Ed25519 key');
  if (!isKeyName(name)) throw badKey(`"${name.slice(0, 80)}" is no name of a key`);
  return { name, id: keyIdOf(name, publicOctets(spki)), spki };
}

/** `<name>+<key id>+<base64 of type and key>`, as Go's `note` tools read it. */
export function formatNoteKey({ name, id, spki }: NoteKey): string {
  return `${name}+${id}+${toBase64(concatBytes(new Uint8Array([ed25519Type]), publicOctets(spki)))}`;
}

/** @throws CountersignError ERR_LOG_KEY */
export function parseNoteKey(text: string): NoteKey {
  const found = /^([^+]{1,512})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{1,128})$/.exec(text.trim());
  if (found === null) throw badKey('it is not written as NAME+ID+BASE64');
  const [, name = '', id = '', base64 = ''] = found;
  const encoded = fromBase64(base64);
  if (encoded?.[0] !== ed25519Type || encoded.byteLength !== 33) {
    throw badKey('it is not an Ed25519 key');
  }
  const key = noteKeyOf(name, parseSpki(concatBytes(spkiPrefix, encoded.subarray(1))));
  if (key.id === id) return key;
  throw badKey(`its id is "${id}", name and key give "${key.id}"`);
}

/** A text with one signature of ours. @param text ends with a line break, and has no control character but these */
export async function signNote(
  text: string,
  key: NoteKey,
  sign: (data: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Promise<string> {
  const signature = await sign(new TextEncoder().encode(text));
  const signed = concatBytes(fromHex(key.id) ?? new Uint8Array(), signature);
  return `${text}\n— ${key.name} ${toBase64(signed)}\n`;
}

/**
 * The text of a note that the key has signed. Signatures of other keys are passed over, unread. Denials:
 * ERR_LOG_CHECKPOINT.
 */
export function openNote(
  note: string,
  key: NoteKey,
): { readonly ok: true; readonly text: string } | Denial {
  if (Buffer.byteLength(note) > maxNoteBytes)
    return refused(`it has more than ${maxNoteBytes} bytes`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no control character but the line break may stand there
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) return refused('it has a control character');
  // The last empty line is the border.
  const border = note.lastIndexOf('\n\n');
  if (border < 0 || !note.endsWith('\n')) return refused('it has no signature lines');
  const text = note.slice(0, border + 1);
  const lines = note.slice(border + 2, -1).split('\n');
  if (lines.length > maxSignatures) return refused(`it has more than ${maxSignatures} signatures`);
  const message = new TextEncoder().encode(text);
  let isSigned = false;
  for (const line of lines) {
    const signature = readSignature(line);
    if (signature === undefined) return refused(`"${line.slice(0, 80)}" is no signature line`);
    if (signature.name !== key.name || signature.id !== key.id) continue;
    // C2SP signed-note: one that a known key made and that fails condemns the note.
    if (!verify(null, message, publicKeyOf(key.spki), signature.octets)) {
      return refused(`signature of key "${key.name}+${key.id}" does not verify`);
    }
    isSigned = true;
  }
  if (isSigned) return { ok: true, text };
  const signers = lines.map((line) => line.split(' ')[1]?.slice(0, 80)).join(', ');
  return refused(`it is signed by ${signers}, not by key "${key.name}+${key.id}"`);
}

function readSignature(line: string) {
  const found = /^— ([^ +]{1,512}) ([A-Za-z0-9+/=]+)$/.exec(line);
  const bytes = fromBase64(found?.[2] ?? '');
  if (found === null || bytes === undefined || bytes.byteLength < 5) return undefined;
  const [, name = ''] = found;
  if (!isKeyName(name)) return undefined;
  return { name, id: toHex(bytes.subarray(0, 4)), octets: bytes.subarray(4) };
}

function isKeyName(name: string): boolean {
  return name.length <= 512 && /^[^+\s\p{Cc}]+$/u.test(name);
}

function keyIdOf(name: string, octets: Uint8Array): string {
  const hash = createHash('sha256')
    .update(name)
    .update('\n')
    .update(new Uint8Array([ed25519Type]));
  return hash.update(octets).digest('hex').slice(0, 8);
}

function publicOctets({ raw }: SubjectPublicKeyInfo): Uint8Array {
  const octets = raw.subarray(spkiPrefix.byteLength);
  if (!equalBytes(raw.subarray(0, spkiPrefix.byteLength), spkiPrefix) || octets.length !== 32) {
    throw badKey('it is not an Ed25519 key');
  }
  return octets;
}

function badKey(wrong: string): CountersignError {
  return new CountersignError('ERR_LOG_KEY', `read the key of a log: ${wrong}`);
}

function refused(wrong: string): Denial {
  return denial('ERR_LOG_CHECKPOINT', `signed note is refused: ${wrong}`);
}
