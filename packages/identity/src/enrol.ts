import { type Clock, CountersignError, Secret } from '@countersign/base';
import type { BundleSource } from '@countersign/spiffe';
import {
  AuthorityClient,
  isBearerToken,
  type JoinToken,
  parseFingerprint,
  parseJoinToken,
} from '@countersign/wire';
import type { Certificate, KeyKind } from '@countersign/x509';
import { authorityTransport } from './authority-transport.ts';
import { parseAuthorityUrl } from './authority-url.ts';
import { wishesOf } from './certificate-wishes.ts';
import type { Identity } from './identity.ts';
import { prepareIdentityDirectory, writeIdentity } from './identity-files.ts';
import { keepIssued } from './keep-issued.ts';
import { type OfferedRoots, offeredRoots, pinnedAmong } from './learn-root.ts';
import { defaultKeyKind, makeOwnRequest, type OwnRequest } from './own-request.ts';
import { type ProofKey, signProof } from './proof/sign-proof.ts';
import { proveIssued } from './prove-issued.ts';
import { anotherHolder, holderToKeep } from './prove-same-holder.ts';

export interface EnrolOptions {
  /** The authority: `https://HOST:PORT`. */
  readonly url: string;
  /** One-time join token, as text or parsed: it pins the root. Or a JWT of another issuer, which `fingerprint` goes with. */
  readonly token: string | JoinToken;
  /** SHA-256 of the root's DER; where given it must be the join token's. */
  readonly fingerprint?: string;
  /** ECDSA P-256 unless given. */
  readonly keyKind?: KeyKind;
  /** Signs this enrolment, and has to sign every renewal of what it gives. None unless given. */
  readonly proofKey?: ProofKey;
  /** What {@link offeredRoots} was answered before. */
  readonly offered?: OfferedRoots;
  /** Key and request that were made before; `keyKind` is not looked at then. */
  readonly ownRequest?: OwnRequest;
  /** Wished lifetime; the authority's default unless given. */
  readonly ttlMs?: number;
  /** Name of a profile of the authority; the one that is for such a request unless given. */
  readonly profile?: string;
  /** Name of the intermediate that signs; the first that admits the names unless given. */
  readonly issuer?: string;
  /** The SPIFFE ID that the token is expected to be for. */
  readonly spiffeId?: string;
  /** Where to write the files; made sure of before the token is spent. Absent: nowhere. */
  readonly out?: string;
  /** Also where `out` holds an identity of another SPIFFE ID. Unless given, a token of another is refused, unspent. */
  readonly replace?: boolean;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** For each of the calls. 15,000 unless given. */
  readonly timeoutMs?: number;
}

/**
 * A first identity for a machine that has nothing but a token.
 *
 * The token leaves this process once, on a connection whose other end proved to be the authority under the pinned root;
 * the key never does. If the connection breaks after that, the token may be spent: a new one is needed.
 *
 * @throws CountersignError ERR_WIRE_TOKEN, ERR_WIRE_FINGERPRINT, ERR_IDENTITY_*, ERR_DIAL_*, ERR_TLS_*, ERR_PEER_*,
 *   and what the authority refuses
 */
export async function enrol(options: EnrolOptions): Promise<Identity> {
  const { clock, out, signal, timeoutMs = 15_000 } = options;
  let { offered } = options;
  // 1. what is pinned, before any byte is sent
  const address = parseAuthorityUrl(options.url);
  const token = tokenOf(options);
  const fingerprint = pinOf(token, options.fingerprint);
  // 2. a place for the files, which a refusal leaves as it was
  const place = out === undefined ? undefined : await prepareIdentityDirectory(out);
  try {
    // 3. a key of our own
    const held = await holderToKeep(options);
    const { privateKey, csr } =
      options.ownRequest ?? (await makeOwnRequest(options.keyKind ?? defaultKeyKind, held));
    // 4. the root, from anybody, compared with the pin
    const abort = signal === undefined ? {} : { signal };
    offered ??= await offeredRoots({ address, timeoutMs, clock, ...abort });
    const pinnedRoot = pinnedAmong(offered.roots, { address, fingerprint });
    const opened = offered.connection === undefined ? {} : { opened: offered.connection };
    // 5. mutual proof: the connection, or another, verified by our own verifier against that root alone; only then the token
    const client = new AuthorityClient({
      url: address.origin,
      timeoutMs,
      transport: authorityTransport({
        ...{ url: address.origin, bundles: vouchedBy(pinnedRoot), clock, ...opened },
      }),
    });
    const { ttlMs, ...wishes } = wishesOf(options);
    const { proofKey } = options;
    const proof = proofKey && { proof: await signProof(proofKey, csr, clock) };
    const request = { csr, ...(ttlMs !== undefined && { ttlMs }), ...proof };
    // An identity has a SPIFFE ID: a token that gives none is refused before it is spent.
    const asked =
      token instanceof Secret
        ? { token, ...request, needsSpiffeId: true }
        : { token, ...request, ...wishes };
    const response = await client.enrol(asked, abort).catch((thrown: unknown) => {
      throw out !== undefined && held !== undefined && isForAnother(thrown)
        ? anotherHolder(out, held.toString(), 'the token is for another', thrown)
        : thrown;
    });
    // 6. the answer, proved before anything relies on it
    const identity = proveIssued({
      response,
      privateKey,
      clock,
      pinnedRoot,
      ca: address.origin,
      ...(options.spiffeId === undefined ? {} : { spiffeId: options.spiffeId }),
    });
    // 7. on disk, in one step
    if (out !== undefined) {
      const { serialHex } = identity.svid;
      await keepIssued(serialHex, 'enrolment', () => writeIdentity(out, identity));
    }
    return identity;
  } catch (thrown) {
    await place?.giveUp();
    throw thrown;
  } finally {
    offered?.connection?.close();
  }
}

function isForAnother(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_POLICY_NAME';
}

function tokenOf({ token, profile, issuer }: EnrolOptions): JoinToken | Secret<string> {
  if (typeof token !== 'string') return token;
  if (!isBearerToken(token)) return parseJoinToken(token);
  if (profile === undefined && issuer === undefined) return new Secret(token);
  const message = 'profile or issuer is wished for, the provisioner of a JWT decides both';
  throw new CountersignError('ERR_IDENTITY_BEARER', message);
}

function pinOf(token: JoinToken | Secret<string>, given: string | undefined): string {
  if (token instanceof Secret) {
    if (given !== undefined) return parseFingerprint(given);
    const message = 'no fingerprint of the root is given, and a JWT names none';
    throw new CountersignError('ERR_IDENTITY_BEARER', message);
  }
  if (given === undefined) return token.rootFingerprint;
  const fingerprint = parseFingerprint(given);
  if (fingerprint === token.rootFingerprint) return fingerprint;
  throw new CountersignError(
    'ERR_IDENTITY_PIN',
    `fingerprint is ${fingerprint}, the token is for root ${token.rootFingerprint}`,
    { fields: { fingerprint, token: token.rootFingerprint } },
  );
}

/** The pinned root speaks for whatever trust domain its authority has: that is what pinning it says. */
export function vouchedBy(root: Certificate): BundleSource {
  return {
    bundle: (trustDomain) => ({ trustDomain, authorities: [root] }),
    authorities: () => [root],
  };
}
