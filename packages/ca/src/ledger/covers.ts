import { parseIssuerValue, type RevocationBy } from '@countersign/wire/revocation-kinds';
import { parseRevocationWindow, type RevocationWindow } from '@countersign/wire/revocation-window';
import type { CoveredFacts } from './ledger.ts';

/** Kinds that equal one fact of a certificate, so that their revocations are found by it. */
export type PlainBy = 'serial' | 'spiffe-id' | 'key' | 'provisioner' | 'token';
/** Kinds that have to be compared with each certificate: few, and read whole. */
export type WideBy = Exclude<RevocationBy, PlainBy>;
export const wideBys = ['spiffe-prefix', 'issuer', 'time'] as const satisfies readonly WideBy[];

export function isWide(by: RevocationBy): by is WideBy {
  return (wideBys as readonly RevocationBy[]).includes(by);
}

export interface Cover {
  readonly by: RevocationBy;
  readonly value: string;
  /** Its cut-off: what is ordered from there on is not covered. */
  readonly position: number;
  readonly block?: boolean;
}

/**
 * Whether a revocation covers a certificate: the one rule, for the ledger's refusals, for the authority's own listener and
 * (in the same words) for every edge that follows the feed.
 *
 * By serial it is that certificate. By everything else it is every certificate whose intent stands below the revocation's
 * own position, whether it was signed by then or not.
 */
export function covers(revocation: Cover, certificate: CoveredFacts): boolean {
  const { by, value, position, block } = revocation;
  if (by === 'serial') return certificate.serialHex === value;
  if (certificate.position >= position) return false;
  // Who holds the key of an issuer can sign what no ledger knows: then its own certificate is not to be trusted either.
  const isIssuerItself = by === 'issuer' && block === true && isKeyOf(value, certificate);
  return isIssuerItself || matches(by, value, certificate);
}

/** Whether a certificate is of those that a revocation names, whenever it was ordered. */
export function matches(by: RevocationBy, value: string, certificate: CoveredFacts): boolean {
  if (isWide(by)) return wideMatches[by](value, certificate);
  return plainFacts.some(([kind, fact]) => kind === by && fact(certificate) === value);
}

/**
 * What of a certificate a revocation of each kind is compared with; undefined matches none. A key covers what it is certified
 * by, and what it has vouched for as a proof key.
 */
export const plainFacts: readonly (readonly [
  by: PlainBy,
  fact: (certificate: CoveredFacts) => string | undefined,
])[] = [
  ['serial', (certificate) => certificate.serialHex],
  ['spiffe-id', (certificate) => certificate.spiffeId],
  ['key', (certificate) => certificate.spkiHash],
  ['key', (certificate) => certificate.proofKey],
  ['provisioner', (certificate) => certificate.provisioner],
  ['token', (certificate) => certificate.token],
];

/**
 * Who vouches for the authority's own certificates: root, intermediates, and the one that it serves with. They are no
 * workloads, and what is meant for many of those leaves them alone.
 */
export const ownProvisioners: ReadonlySet<string> = new Set(['init', 'authority', 'carried']);

/**
 * Of orders whose request is carried to a key that is offline: they stay open for as long as that takes, whichever
 * process has made them, and are nobody's orphans.
 */
export const carriedProvisioner = 'carried';

const wideMatches: Readonly<Record<WideBy, (value: string, certificate: CoveredFacts) => boolean>> =
  {
    // The value ends with a slash: whole segments are compared.
    'spiffe-prefix': (value, { spiffeId, provisioner }) =>
      spiffeId?.startsWith(value) === true && !ownProvisioners.has(provisioner),
    issuer: (value, { issuer }) => parseIssuerValue(value).name === issuer,
    time(value, certificate) {
      const { after = 0, before = Number.POSITIVE_INFINITY, and } = windowOf(value);
      const isThen = certificate.at >= after && certificate.at < before;
      if (!isThen || ownProvisioners.has(certificate.provisioner)) return false;
      return and === undefined || matches(and.by, and.value, certificate);
    },
  };

/** Compared with many certificates in a row. */
let lastWindow: { readonly value: string; readonly window: RevocationWindow } | undefined;

function windowOf(value: string): RevocationWindow {
  if (lastWindow?.value !== value) {
    // A value that is no span of time is not in the ledger; it would cover nothing.
    lastWindow = { value, window: parseRevocationWindow(value) ?? { after: Infinity } };
  }
  return lastWindow.window;
}

function isKeyOf(value: string, { spkiHash }: CoveredFacts): boolean {
  return parseIssuerValue(value).keys.includes(spkiHash);
}
