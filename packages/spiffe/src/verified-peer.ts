import { inspect } from 'node:util';
import { type Denial, denial, type ErrorCode } from '@countersign/base';
import {
  type Certificate,
  fingerprintOf,
  type GeneralName,
  type PathRefused,
  type SignatureCache,
  validatePath,
} from '@countersign/x509';
import { refuseCertificate as refuse, serialText } from './refuse-certificate.ts';
import type { BundleSource } from './sources.ts';
import type { SpiffeId } from './spiffe-id.ts';
import {
  claimsSpiffeId,
  leafSpiffeId,
  wrongWithAuthority,
  wrongWithIntermediate,
} from './svid-rules.ts';

/** Certificates that a peer may present; a chain of ours has two or three. */
export const maxPeerChain = 16;

const minted = Symbol('verified chain');

/**
 * Evidence that a chain was validated against the trust bundle of its own trust domain. {@link verifyPeer} is its one
 * factory. It says who the peer was at that moment: `authorize` re-asks whether that still holds.
 */
export class VerifiedPeer {
  /** Undefined only with profile `any`, for a peer that is known by other names. */
  readonly spiffeId: SpiffeId | undefined;
  /** As validated: leaf, intermediates, anchor. */
  readonly chain: readonly [Certificate, ...Certificate[]];
  /** SHA-256 of the anchor's DER, lowercase hex. */
  readonly anchorFingerprint: string;
  /** SHA-256 of the leaf's DER, lowercase hex. */
  readonly fingerprint: string;
  /**
   * When the first certificate of the chain ends, the anchor included, for then a new handshake would be refused: the
   * last second of validity, as certificates write it.
   * {@link hasEnded} compares.
   */
  readonly notAfter: number;
  readonly #verified = true;

  constructor(
    evidence: typeof minted,
    spiffeId: SpiffeId | undefined,
    chain: readonly [Certificate, ...Certificate[]],
  ) {
    if (evidence !== minted) throw new TypeError('a VerifiedPeer is made by verifyPeer only');
    this.spiffeId = spiffeId;
    this.chain = chain;
    this.anchorFingerprint = fingerprintOf(chain.at(-1) ?? chain[0]);
    this.fingerprint = fingerprintOf(chain[0]);
    this.notAfter = Math.min(...chain.map((certificate) => certificate.notAfter));
  }

  get leaf(): Certificate {
    return this.chain[0];
  }

  get serialHex(): string {
    return this.leaf.serialHex;
  }

  /** Every subject alternative name of the leaf. */
  get names(): readonly GeneralName[] {
    return this.leaf.subjectAltNames;
  }

  // RFC 5280 §4.1.2.5: the validity includes its end, which is a whole second.
  hasEnded(at: number): boolean {
    return at >= this.notAfter + 1000;
  }

  isVerifiedPeer(): boolean {
    return this.#verified;
  }

  /** Whether a value is this evidence, and not something that only looks like it. */
  static is(value: unknown): value is VerifiedPeer {
    return typeof value === 'object' && value !== null && #verified in value;
  }

  toJSON(): Readonly<Record<string, unknown>> {
    return {
      spiffeId: this.spiffeId?.toString(),
      serial: this.serialHex,
      fingerprint: this.fingerprint,
      anchor: this.anchorFingerprint,
      notAfter: new Date(this.notAfter).toISOString(),
    };
  }

  [inspect.custom](): string {
    return `VerifiedPeer ${this.spiffeId ?? 'without SPIFFE ID'} serial ${this.serialHex}`;
  }
}

export interface PeerVerification {
  /** As the peer sent it: leaf first; the rest in any order, with or without the root. */
  readonly chain: readonly Certificate[];
  readonly bundles: BundleSource;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** What the peer was in the handshake. */
  readonly purpose: 'client' | 'server';
  /**
   * `svid` (default): an X.509-SVID of a trust domain that has a bundle, nothing else. `any`: also a certificate that
   * claims no SPIFFE ID, from any of the source's `authorities()`. A claimed SPIFFE ID is held to the SVID rules and to
   * its own trust domain's bundle in both.
   */
  readonly profile?: 'svid' | 'any';
  /** Spares the asker of many handshakes the signatures that it has verified before. */
  readonly signatures?: SignatureCache;
}

export type PeerResult = { readonly ok: true; readonly peer: VerifiedPeer } | Denial;

/**
 * Who the peer is, proved, or why not. Never throws on what a stranger sent.
 *
 * Denials: ERR_PEER_*, ERR_SVID_*, and what path validation refuses: ERR_PATH_*, ERR_CERT_*.
 */
export function verifyPeer(input: PeerVerification): PeerResult {
  // 1. A chain of bearable length.
  const [leaf, ...intermediates] = input.chain;
  if (leaf === undefined) return denial('ERR_PEER_NO_CERTIFICATE', 'no certificate was presented');
  if (input.chain.length > maxPeerChain) {
    return denial(
      'ERR_PEER_CHAIN',
      `${input.chain.length} certificates were presented, at most ${maxPeerChain} are looked at`,
      { presented: input.chain.length, limit: maxPeerChain },
    );
  }

  // 2. Who it claims to be, and so who may vouch for it.
  const isSvid = input.profile !== 'any' || claimsSpiffeId(leaf);
  const claim = isSvid ? claimOfSvid(leaf, input.bundles) : claimOfOther(leaf, input.bundles);
  if (!claim.ok) return claim;

  // 3. Its dates, before any signature is computed.
  const untimely = wrongWithDates(leaf, input.at);
  if (untimely !== undefined) return untimely;

  // 4. A path to one of those authorities (X509-SVID §5.1, RFC 5280 §6).
  const path = validatePath({
    leaf,
    intermediates,
    anchors: claim.authorities,
    at: input.at,
    purpose: input.purpose,
    signatures: input.signatures,
  });
  if (!path.ok) return refusedPath(path, leaf, claim.spiffeId);

  // 5. The signing certificates of that path.
  const wrong = isSvid ? wrongWithSigners(path.chain) : undefined;
  if (wrong !== undefined) return wrong;

  return { ok: true, peer: new VerifiedPeer(minted, claim.spiffeId, asChain(path.chain, leaf)) };
}

type Claim =
  | {
      readonly ok: true;
      readonly spiffeId: SpiffeId | undefined;
      readonly authorities: readonly Certificate[];
    }
  | Denial;

function claimOfSvid(leaf: Certificate, bundles: BundleSource): Claim {
  const named = leafSpiffeId(leaf);
  if (!named.ok) return named;
  const { spiffeId } = named;
  // Trust Domain and Bundle §3: validators choose the bundle of the trust domain that the SVID resides in.
  const bundle = bundles.bundle(spiffeId.trustDomain);
  if (bundle === undefined || bundle.trustDomain !== spiffeId.trustDomain) {
    return denial(
      'ERR_PEER_TRUST_DOMAIN',
      `peer "${spiffeId}" is of trust domain "${spiffeId.trustDomain}", for which there is no bundle`,
      { spiffeId: spiffeId.toString(), trustDomain: spiffeId.trustDomain },
    );
  }
  return { ok: true, spiffeId, authorities: bundle.authorities };
}

function claimOfOther(leaf: Certificate, bundles: BundleSource): Claim {
  if (leaf.basicConstraints?.ca === true) {
    return refuse(leaf, 'ERR_SVID_CA', 'has the CA flag set, a peer must not');
  }
  // RFC 5280 §4.2.1.3: in TLS the key signs, so where its usage is restricted it must include that.
  if (leaf.keyUsage?.has('digitalSignature') === false) {
    return refuse(leaf, 'ERR_SVID_KEY_USAGE', 'has a key usage without digitalSignature');
  }
  return { ok: true, spiffeId: undefined, authorities: bundles.authorities?.() ?? [] };
}

// RFC 5280 §4.1.2.5: the validity includes both its ends, which are whole seconds.
function wrongWithDates(leaf: Certificate, at: number): Denial | undefined {
  const fields = { now: at, notBefore: leaf.notBefore, notAfter: leaf.notAfter };
  if (at >= leaf.notAfter + 1000) {
    const sides = `expired at ${time(leaf.notAfter)}, it is now ${time(at)}`;
    return refuse(leaf, 'ERR_PEER_EXPIRED', sides, fields);
  }
  if (at < leaf.notBefore) {
    const sides = `is valid from ${time(leaf.notBefore)}, it is now ${time(at)}`;
    return refuse(leaf, 'ERR_PEER_NOT_YET_VALID', sides, fields);
  }
  return undefined;
}

/** What path validation says of a chain, in words for a peer; its other codes are precise enough as they are. */
const peerCodes: Partial<Record<ErrorCode, ErrorCode>> = {
  ERR_PATH_NO_ISSUER: 'ERR_PEER_UNTRUSTED',
  ERR_PATH_UNTRUSTED: 'ERR_PEER_UNTRUSTED',
  ERR_CERT_EXPIRED: 'ERR_PEER_EXPIRED',
  ERR_CERT_NOT_YET_VALID: 'ERR_PEER_NOT_YET_VALID',
};

function refusedPath(path: PathRefused, leaf: Certificate, spiffeId: SpiffeId | undefined): Denial {
  const who = spiffeId === undefined ? `certificate ${serialText(leaf)}` : `"${spiffeId}"`;
  return denial(peerCodes[path.code] ?? path.code, `peer ${who}: ${path.detail}`, {
    ...path.fields,
    spiffeId: spiffeId?.toString(),
    serial: serialText(leaf),
    pathCode: path.code,
  });
}

function wrongWithSigners(path: readonly Certificate[]): Denial | undefined {
  for (const intermediate of path.slice(1, -1)) {
    const wrong = wrongWithIntermediate(intermediate);
    if (wrong !== undefined) return wrong;
  }
  const anchor = path.at(-1);
  return anchor === undefined ? undefined : wrongWithAuthority(anchor);
}

function asChain(
  path: readonly Certificate[],
  leaf: Certificate,
): readonly [Certificate, ...Certificate[]] {
  const [first = leaf, ...rest] = path;
  return [first, ...rest];
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
