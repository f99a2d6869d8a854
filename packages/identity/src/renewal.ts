import type { Clock } from '@countersign/base';
import { parseBundleDocument, staticBundles, staticSvid } from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';
import { authorityClient } from './authority-transport.ts';
import { wishesOf } from './certificate-wishes.ts';
import type { FetchBundle } from './follow-bundle.ts';
import type { Identity } from './identity.ts';
import type { RenewalWish } from './issuers/issuer.ts';
import type { MakeRequest } from './own-request.ts';
import { type ProofKey, signProof } from './proof/sign-proof.ts';

export interface RenewalRequest {
  /** What is to be renewed. */
  readonly current: Identity;
  /** PKCS #10 by a new key, DER. */
  readonly csr: Uint8Array;
  readonly signal: AbortSignal;
}

/** Whoever can have a request signed for the same names: the authority over mTLS, or one in this process. */
export interface Renew {
  (request: RenewalRequest): Promise<IssueResponse>;
  /** Where the trust bundle of now is to be had between renewals. */
  readonly fetchBundle?: FetchBundle;
  /** How the request is made; by a new key of the same kind, naming nobody, unless given. */
  readonly makeRequest?: MakeRequest;
  /** When whoever signs wishes to be asked; undefined: whenever the schedule says. */
  readonly renewalWish?: (
    current: Identity,
    signal: AbortSignal,
  ) => Promise<RenewalWish | undefined>;
}

/**
 * Renews at the authority, proving to be who is renewed by showing the current certificate.
 *
 * @throws CountersignError ERR_IDENTITY_URL at the first call
 */
export function renewOverMtls(options: {
  readonly url: string;
  readonly clock: Clock;
  /** Wished lifetime; the authority's default unless given. */
  readonly ttlMs?: number;
  /** Name of a profile of the authority; the one that is for such a request unless given. */
  readonly profile?: string;
  /** Name of the intermediate that signs; the first that admits the names unless given. */
  readonly issuer?: string;
  /** Signs each request; what was enrolled with one is renewed with it alone. None unless given. */
  readonly proofKey?: ProofKey;
  /** 15,000 unless given. */
  readonly timeoutMs?: number;
}): Renew {
  const { url, clock, timeoutMs, proofKey } = options;
  const wishes = wishesOf(options);
  const clientOf = (current: Identity) =>
    authorityClient({
      url,
      clock,
      svids: staticSvid(current.svid),
      bundles: staticBundles(current.bundle),
      trustDomain: current.bundle.trustDomain,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  const renewAtAuthority = async ({ current, csr, signal }: RenewalRequest) => {
    const proof = proofKey && { proof: await signProof(proofKey, csr, clock) };
    return await clientOf(current).renew({ csr, ...wishes, ...proof }, { signal });
  };
  const fetchBundle: FetchBundle = async ({ current, holds, signal }) => {
    const { trustDomain } = current.bundle;
    return parseBundleDocument(await clientOf(current).bundle({ holds, signal }), trustDomain);
  };
  return Object.assign(renewAtAuthority, { fetchBundle });
}
