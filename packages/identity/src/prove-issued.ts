import type { KeyObject } from 'node:crypto';
import { type Clock, CountersignError, errorOfDenial, messageOf } from '@countersign/base';
import {
  makeSvid,
  type PeerResult,
  parseBundleDocument,
  staticBundles,
  type TrustBundle,
  verifyPeer,
  type X509Svid,
} from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';
import { type Certificate, fingerprintOf, formatGeneralName } from '@countersign/x509';
import type { Identity } from './identity.ts';

export interface ProofOptions {
  readonly response: IssueResponse;
  /** The key that the request was made with. */
  readonly privateKey: KeyObject;
  readonly clock: Clock;
  readonly ca?: string;
  /** Of the first enrolment: this root must be in the bundle, and the chain must lead to it. */
  readonly pinnedRoot?: Certificate;
  /** Of a renewal: trust domain, SPIFFE ID and all other names must be those of this identity. */
  readonly renewed?: Identity;
  /** Where the caller knows which SPIFFE ID its token is for. */
  readonly spiffeId?: string;
}

/**
 * The identity in an authority's answer, proved as a peer would prove it, before anything relies on it: the chain is
 * an X.509-SVID for our own key, valid now, under the bundle that came with it, with the names that were expected.
 *
 * @throws CountersignError ERR_IDENTITY_RESPONSE, with what did not hold as its cause
 */
export function proveIssued(options: ProofOptions): Identity {
  const { response, clock, ca } = options;
  try {
    // 1. our key, and the rules of an X.509-SVID
    const svid = makeSvid(response.chain, options.privateKey);
    // 2. what the answer says of the certificate is true
    checkAnswer(response, svid);
    // 3. the names that were expected
    checkNames(options, svid);
    // 4. the bundle, with the pinned root in it
    const bundle = parseBundleDocument(JSON.stringify(response.bundle), response.trustDomain);
    const anchors = anchorsOf(bundle, options.pinnedRoot);
    // 5. a peer's own check of the chain, now
    const { trustDomain } = bundle;
    const proof = proveIdentity(
      { svid, bundle: { trustDomain, authorities: anchors } },
      clock.now(),
    );
    if (!proof.ok) throw errorOfDenial(proof);
    return { svid, bundle, ...(ca === undefined ? {} : { ca }) };
  } catch (thrown) {
    const message = `check the issued certificate: ${messageOf(thrown)}`;
    const fields = thrown instanceof CountersignError ? { reason: thrown.code } : {};
    throw new CountersignError('ERR_IDENTITY_RESPONSE', message, { fields, cause: thrown });
  }
}

/** Whether a peer that trusts the identity's own bundle would accept it at that time. */
export function proveIdentity({ svid, bundle }: Identity, at: number): PeerResult {
  const bundles = staticBundles(bundle);
  // A profile may make certificates for servers alone.
  const usages = svid.leaf.extKeyUsage;
  const isForServers = usages?.includes('serverAuth') === true && !usages.includes('clientAuth');
  const purpose = isForServers ? 'server' : 'client';
  return verifyPeer({ chain: svid.chain, bundles, at, purpose });
}

function checkAnswer(response: IssueResponse, svid: X509Svid): void {
  expectSame('serial', response.serial, svid.serialHex);
  expectSame('notAfter', response.notAfter, svid.notAfter);
  if (response.spiffeId !== undefined) {
    expectSame('SPIFFE ID', response.spiffeId, svid.spiffeId.toString());
  }
  expectSame('trust domain', response.trustDomain, svid.spiffeId.trustDomain);
}

function checkNames({ spiffeId, renewed }: ProofOptions, svid: X509Svid): void {
  if (spiffeId !== undefined) expectSame('SPIFFE ID', svid.spiffeId.toString(), spiffeId);
  if (renewed === undefined) return;
  expectSame('names', namesOf(svid), namesOf(renewed.svid));
}

function namesOf(svid: X509Svid): string {
  return svid.leaf.subjectAltNames.map(formatGeneralName).sort().join(', ');
}

function anchorsOf(bundle: TrustBundle, pinned: Certificate | undefined): readonly Certificate[] {
  if (pinned === undefined) return bundle.authorities;
  const wanted = fingerprintOf(pinned);
  if (bundle.authorities.some((each) => fingerprintOf(each) === wanted)) return [pinned];
  throw new CountersignError(
    'ERR_IDENTITY_ROOT',
    `bundle has ${bundle.authorities.map(fingerprintOf).join(', ')}, pinned is ${wanted}`,
  );
}

function expectSame(what: string, found: string | number, expected: string | number): void {
  if (found === expected) return;
  throw new CountersignError(
    'ERR_IDENTITY_RESPONSE',
    `${what} is "${found}", expected "${expected}"`,
    { fields: { found, expected } },
  );
}
