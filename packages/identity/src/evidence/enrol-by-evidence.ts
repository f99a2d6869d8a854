import type { Clock } from '@countersign/base';
import { staticBundles } from '@countersign/spiffe';
import { type KeyKind, parseCertificateRequest } from '@countersign/x509';
import { authorityClient } from '../authority-transport.ts';
import { enrol } from '../enrol.ts';
import type { Identity } from '../identity.ts';
import { defaultKeyKind, makeOwnRequest } from '../own-request.ts';
import { type ProofKey, signProof } from '../proof/sign-proof.ts';
import { holderToKeep } from '../prove-same-holder.ts';
import type { Renew } from '../renewal.ts';
import type { EvidenceSource } from './evidence-source.ts';
import { fetchEvidence } from './fetch-evidence.ts';

export interface EvidenceOptions {
  /** The authority: `https://HOST:PORT`. */
  readonly url: string;
  readonly source: EvidenceSource;
  readonly clock: Clock;
  /** Signs each request; none unless given. */
  readonly proofKey?: ProofKey;
  /** For each of the calls to the authority. 15,000 unless given. */
  readonly timeoutMs?: number;
}

export interface EnrolByEvidenceOptions extends EvidenceOptions {
  /** SHA-256 of the root's DER. */
  readonly fingerprint: string;
  readonly keyKind?: KeyKind;
  readonly ttlMs?: number;
  /** Where to write the files; absent: nowhere. */
  readonly out?: string;
  /** As of `enrol`. */
  readonly replace?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * A first identity for a machine, by what its surroundings say of it.
 *
 * @throws CountersignError ERR_EVIDENCE_*, and what `enrol` throws
 */
export async function enrolByEvidence(options: EnrolByEvidenceOptions): Promise<Identity> {
  const { source, clock, keyKind = defaultKeyKind, signal, ...rest } = options;
  const ownRequest = await makeOwnRequest(keyKind, await holderToKeep(options));
  const { raw: spki } = parseCertificateRequest(ownRequest.csr).spki;
  const abort = signal ?? new AbortController().signal;
  const evidence = await fetchEvidence(source, { spki, clock, signal: abort });
  return await enrol({ ...rest, ownRequest, clock, signal: abort, token: evidence.reveal() });
}

/** For a rotation whose certificate has ended, by the same evidence: under the roots that it knew last. */
export function reEnrolByEvidence({
  url,
  source,
  clock,
  proofKey,
  timeoutMs = 15_000,
}: EvidenceOptions): Renew {
  return async ({ current, csr, signal }) => {
    const { raw: spki } = parseCertificateRequest(csr).spki;
    const token = await fetchEvidence(source, { spki, clock, signal });
    const bundles = staticBundles(current.bundle);
    const { trustDomain } = current.bundle;
    const client = authorityClient({ url, bundles, trustDomain, clock, timeoutMs });
    const proof = proofKey && { proof: await signProof(proofKey, csr, clock) };
    return await client.enrol({ token, csr, ...proof }, { signal });
  };
}
