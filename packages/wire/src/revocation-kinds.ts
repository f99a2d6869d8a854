import { parseRevocationWindow } from './revocation-window.ts';

/** What a revocation names. */
export const revocationBys = [
  'serial',
  'spiffe-id',
  'spiffe-prefix',
  'key',
  'issuer',
  'provisioner',
  'token',
  'time',
] as const;
export type RevocationBy = (typeof revocationBys)[number];

export interface RevocationForm {
  readonly isOf: (value: string) => boolean;
  /** As the end of "is not …". */
  readonly say: string;
}

/** How the ledger and the feed write what a revocation of each kind names; there is one spelling of each. */
export const revocationForms: Readonly<Record<RevocationBy, RevocationForm>> = {
  serial: matching(/^(?:[0-9a-f]{2}){1,20}$/, '1 to 20 octets in lowercase hex'),
  'spiffe-id': matching(/^spiffe:\/\/[^/]+\/.{1,2000}$/, 'a SPIFFE ID with a path'),
  'spiffe-prefix': matching(
    /^(?=.{1,2048}$)spiffe:\/\/[^/\s]+\/(?:[A-Za-z0-9._-]+\/)*$/,
    'a beginning of SPIFFE IDs that ends with "/"',
  ),
  key: matching(/^[0-9a-f]{64}$/, 'the SHA-256 of a SubjectPublicKeyInfo, 64 hex digits'),
  issuer: matching(
    /^\S.{0,255} [0-9a-f]{64}(?:,[0-9a-f]{64}){0,15}$/,
    "an issuer's name and the SHA-256 of its keys",
  ),
  // A registrar's name is its SPIFFE ID, which has up to 2048 bytes.
  provisioner: matching(/^.{1,2048}$/, 'the name of a provisioner'),
  token: matching(/^[0-9a-f]{16}$/, 'the id of a join token, 16 hex digits'),
  time: {
    isOf: isWindow,
    say: 'a span of time, and what else is asked for',
  },
};

/**
 * Kinds that a certificate alone does not show: who follows the feed is told of the serial numbers that they cover, in
 * frames ahead of the revocation.
 */
export const toldBySerial: ReadonlySet<RevocationBy> = new Set(['provisioner', 'token', 'time']);

/** The same of a part: a certificate shows its own key, and not the proof key that vouched for it. */
export const toldInPart: ReadonlySet<RevocationBy> = new Set(['key']);

/** The name of an issuer, and the keys that relying parties know it by. */
export interface NamedIssuer {
  readonly name: string;
  /** SHA-256 of each SubjectPublicKeyInfo, lowercase hexadecimal. */
  readonly keys: readonly string[];
}

export function formatIssuerValue({ name, keys }: NamedIssuer): string {
  return `${name} ${keys.join(',')}`;
}

export function parseIssuerValue(value: string): NamedIssuer {
  const at = value.lastIndexOf(' ');
  return { name: value.slice(0, at), keys: value.slice(at + 1).split(',') };
}

function isWindow(value: string): boolean {
  const window = parseRevocationWindow(value);
  if (window?.and === undefined) return window !== undefined;
  return revocationForms[window.and.by].isOf(window.and.value);
}

function matching(form: RegExp, say: string): RevocationForm {
  return { isOf: (value) => form.test(value), say };
}
