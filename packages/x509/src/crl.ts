import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import type {
  AccessDescription,
  AuthorityKeyId,
  DistributionPoint,
  Extension,
  IssuingDistributionPoint,
} from './extension.ts';
import type { GeneralName } from './general-name.ts';
import type { Name } from './name.ts';
import type { RevocationReason } from './revocation-reason.ts';

/** A certificate revocation list (RFC 5280 §5), decoded once and whole. */
export interface Crl {
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  readonly version: 1 | 2;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly issuer: Name;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly extensions: readonly Extension[];
  /** OIDs of critical extensions of the list or of an entry that this room does not decode. */
  readonly unknownCriticalExtensions: readonly string[];
  /**
   * Keyed by `serialHex`, decoded at each look-up. A serial that occurs twice is refused unless the list is indirect:
   * then the first is found here, `size` and the iterators count all, and {@link entriesOf} has those of one serial.
   */
  readonly entries: ReadonlyMap<string, CrlEntry>;
  /** Every entry of each serial that occurs more than once, which an indirect list may have. */
  readonly sharedSerials: ReadonlyMap<string, readonly CrlEntry[]>;
  readonly crlNumber: bigint | undefined;
  /** Present: this is a delta CRL against that base. */
  readonly deltaCrlBase: bigint | undefined;
  readonly authorityKeyId: AuthorityKeyId | undefined;
  readonly issuingDistributionPoint: IssuingDistributionPoint | undefined;
  /** Where the deltas of this list are (RFC 5280 §5.2.6). */
  readonly freshestCrl: readonly DistributionPoint[] | undefined;
  /** Where the certificate of its issuer is (RFC 5280 §5.2.7). */
  readonly authorityInfoAccess: readonly AccessDescription[] | undefined;
}

export interface CrlEntry {
  readonly serialHex: string;
  /** Revocation date, ms since the epoch. */
  readonly date: number;
  readonly reason: RevocationReason;
  readonly invalidityDate: number | undefined;
  /**
   * Who issued the certificate (RFC 5280 §5.3.3), where an indirect list says so, there or in an entry before. Undefined:
   * the list's own issuer.
   */
  readonly certificateIssuer: readonly GeneralName[] | undefined;
}

/** The entries with this serial: several where an indirect list has it of several issuers. */
export function entriesOf(crl: Crl, serialHex: string): readonly CrlEntry[] {
  const shared = crl.sharedSerials.get(serialHex);
  if (shared !== undefined) return shared;
  const entry = crl.entries.get(serialHex);
  return entry === undefined ? [] : [entry];
}
