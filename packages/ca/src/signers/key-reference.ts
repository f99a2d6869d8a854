import { hash } from 'node:crypto';
import { CountersignError, equalBytes, fromBase64, toBase64 } from '@countersign/base';
import { judgeKey, parseSpki, type SubjectPublicKeyInfo } from '@countersign/x509';
import { parseSealedKey } from '../sealed-key.ts';
import type { KeyDescription } from './key-store.ts';

/**
 * Where a key is that never was in our hands, as JSON in the place of a sealed key. Nothing in it is secret; what a
 * change of it could do is checked when it is opened: the public key must be the certificate's, and sign like it.
 *
 * ```json
 * { "format": "countersign-key-reference", "version": 1, "name": "root", "publicKey": "<SHA-256 of the SPKI, hex>",
 *   "spki": "<base64>", "store": "pkcs11", "place": { "token": "issuing", "id": "<hex of CKA_ID>", … } }
 * ```
 */
export interface KeyReference {
  readonly format: typeof format;
  readonly version: 1;
  /** Which key of the hierarchy it is: `root`, or an intermediate's name. */
  readonly name: string;
  /** SHA-256 of the SubjectPublicKeyInfo, lowercase hex. */
  readonly publicKey: string;
  /** DER of the SubjectPublicKeyInfo, base64. */
  readonly spki: string;
  readonly store: StoreKind;
  /** What its store finds it by. */
  readonly place: Readonly<Record<string, string>>;
}

export const storeKinds = ['memory', 'pkcs11', 'aws-kms', 'google-kms', 'azure-key-vault'] as const;
export type StoreKind = (typeof storeKinds)[number];

const format = 'countersign-key-reference';
const longestPlace = 512;

export function makeKeyReference(
  store: StoreKind,
  name: string,
  spki: Uint8Array,
  place: Readonly<Record<string, string>>,
): KeyReference {
  return {
    format,
    version: 1,
    name,
    publicKey: hash('sha256', spki),
    spki: toBase64(spki),
    store,
    place,
  };
}

export function isKeyReference(description: KeyDescription): description is KeyReference {
  return description.format === format;
}

/**
 * A description as it was written to a file, of either form.
 *
 * @throws CountersignError ERR_KEY_FILE
 */
export function parseKeyDescription(text: string, file: string): KeyDescription {
  const json = jsonOf(text);
  if (json?.format !== format) return parseSealedKey(text, file);
  if (json.version !== 1) {
    const sides = `has version ${JSON.stringify(json.version)}, this program reads version 1`;
    throw malformed(file, sides);
  }
  const { name, publicKey, spki, store, place } = json;
  if (typeof name !== 'string' || name.length > 64) throw malformed(file, 'lacks its name');
  if (!storeKinds.some((known) => known === store)) {
    const known = storeKinds.map((kind) => `"${kind}"`).join(', ');
    throw malformed(file, `is in a store ${JSON.stringify(store)}, this program knows ${known}`);
  }
  const isPlace =
    isRecord(place) &&
    Object.values(place).every(
      (value) => typeof value === 'string' && value.length <= longestPlace,
    );
  if (!isPlace) throw malformed(file, 'does not say where the key is');
  const der = typeof spki === 'string' ? fromBase64(spki) : undefined;
  if (der === undefined || hash('sha256', der) !== publicKey) {
    throw malformed(file, 'has a public key that is not the one of its fingerprint');
  }
  return json as unknown as KeyReference;
}

export function formatKeyDescription(description: KeyDescription): string {
  return `${JSON.stringify(description, undefined, 2)}\n`;
}

/**
 * The members of `place` that a store needs, and the public key.
 *
 * @throws CountersignError ERR_SIGNER_KEY where the description is of another store, ERR_KEY_FILE where a member is missing
 */
export function readKeyReference<const Member extends string>(
  description: KeyDescription,
  store: StoreKind,
  members: readonly Member[],
): { readonly spki: SubjectPublicKeyInfo; readonly place: Readonly<Record<Member, string>> } {
  const found = isKeyReference(description) ? description.store : 'sealed file';
  if (!isKeyReference(description) || found !== store) {
    throw new CountersignError(
      'ERR_SIGNER_KEY',
      `open the key "${description.name}": it is in a ${found}, ca.yaml says ${store}`,
      { fields: { key: description.name, found, configured: store } },
    );
  }
  const missing = members.find((member) => typeof description.place[member] !== 'string');
  if (missing !== undefined) {
    const message = `open the key "${description.name}": its description lacks "${missing}"`;
    throw new CountersignError('ERR_KEY_FILE', message, { fields: { key: description.name } });
  }
  const spki = parseSpki(fromBase64(description.spki) ?? new Uint8Array());
  return { spki, place: description.place as Readonly<Record<Member, string>> };
}

/**
 * A public key that a store gives for one of its keys.
 *
 * @throws CountersignError ERR_SIGNER_KEY where it is not the one that the description has, or no key at all
 */
export function checkPublicKey(
  description: KeyReference,
  found: Uint8Array | undefined,
  title: string,
): void {
  const expected = fromBase64(description.spki) ?? new Uint8Array();
  if (found !== undefined && equalBytes(found, expected)) return;
  const foundHash = found === undefined ? 'none' : hash('sha256', found);
  throw new CountersignError(
    'ERR_SIGNER_KEY',
    `open the key "${description.name}" in ${title}: its public key is "${foundHash}", "${description.publicKey}" is expected`,
    { fields: { key: description.name, found: foundHash, expected: description.publicKey } },
  );
}

/**
 * The public key of a pair that a store has just made, strictly read.
 *
 * @throws CountersignError ERR_SIGNER_KEY
 */
export function readNewPublicKey(der: Uint8Array, title: string): SubjectPublicKeyInfo {
  const spki = parseSpki(der);
  const verdict = judgeKey(spki);
  if (verdict.ok) return spki;
  const message = `make a key in ${title}: its public key is refused: ${verdict.detail}`;
  throw new CountersignError('ERR_SIGNER_KEY', message, { fields: verdict.fields });
}

function jsonOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return isRecord(json) ? json : undefined;
  } catch {
    // parseSealedKey refuses it, without quoting what stands in a key file
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(file: string, wrong: string): CountersignError {
  return new CountersignError('ERR_KEY_FILE', `read the key "${file}": it ${wrong}`, {
    fields: { file },
  });
}
