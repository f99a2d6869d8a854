import type { Clock } from '@countersign/base';
import { staticBundles } from '@countersign/spiffe';
import { AuthorityClient, type TpmChallengeRequest } from '@countersign/wire';
import { type KeyKind, parseCertificateRequest } from '@countersign/x509';
import { authorityClient, authorityTransport } from '../authority-transport.ts';
import { parseAuthorityUrl } from '../authority-url.ts';
import { enrol, vouchedBy } from '../enrol.ts';
import type { Identity } from '../identity.ts';
import { learnRoot } from '../learn-root.ts';
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
  const challenge = async (request: TpmChallengeRequest) =>
    await (await pinnedClient(options)).tpmChallenge(request, { signal: abort });
  const evidence = await fetchEvidence(source, { spki, challenge, clock, signal: abort });
  return await enrol({ ...rest, ownRequest, clock, signal: abort, token: evidence.reveal() });
}

/** Of the authority under the pinned root, for whoever has nothing to show yet. */
async function pinnedClient(options: EnrolByEvidenceOptions): Promise<AuthorityClient> {
  const { clock, fingerprint, signal, timeoutMs = 15_000 } = options;
  const address = parseAuthorityUrl(options.url);
  const abort = signal === undefined ? {} : { signal };
  const root = await learnRoot({ address, fingerprint, timeoutMs, ...abort });
  const url = address.origin;
  const transport = authorityTransport({ url, bundles: vouchedBy(root), clock });
  return new AuthorityClient({ url, timeoutMs, transport });
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
    const bundles = staticBundles(current.bundle);
    const { trustDomain } = current.bundle;
    const client = authorityClient({ url, bundles, trustDomain, clock, timeoutMs });
    const challenge = (request: TpmChallengeRequest) => client.tpmChallenge(request, { signal });
    const token = await fetchEvidence(source, { spki, challenge, clock, signal });
    const proof = proofKey && { proof: await signProof(proofKey, csr, clock) };
    return await client.enrol({ token, csr, ...proof }, { signal });
  };
}
