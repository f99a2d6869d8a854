import { createPrivateKey } from 'node:crypto';
import {
  type Clock,
  CountersignError,
  formatDuration,
  type Log,
  messageOf,
} from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  certificatesFrom,
  makeBundle,
  makeSvid,
  type SvidSource,
  type TrustBundle,
} from '@countersign/spiffe';
import type { Identity } from '../identity.ts';
import { proveIdentity } from '../prove-issued.ts';
import type { X509Response } from './x509-response.ts';
import { workloadSocket, x509Stream } from './x509-stream.ts';

export interface FollowWorkloadApiOptions {
  /** `unix:///path/of/agent.sock`, as SPIFFE_ENDPOINT_SOCKET has it. */
  readonly address: string;
  /** Which identity, where the agent gives several; the first, unless given. */
  readonly spiffeId?: string | undefined;
  /** How long to wait for the first identity that is fit. 30,000 unless given. */
  readonly waitMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** The identity that a Workload API gives, as it is now, and whom it says to trust. */
export interface WorkloadApiIdentity extends SvidSource, BundleSource, Changes {
  readonly identity: Identity;
  /** Trust domains whose peers can be verified. */
  readonly trustDomains: readonly string[];
  stop(): void;
}

const minBackoffMs = 500;
const maxBackoffMs = 30_000;
/** For the first answer. */
const usualWaitMs = 30_000;

/**
 * Follows a SPIFFE Workload API. What comes is proved before it replaces what is there; when the agent is away, or takes
 * the identity back, the one that there is stays until it ends, and the agent is called again.
 *
 * @throws CountersignError ERR_IDENTITY_WORKLOAD_API with what came instead of the first identity for as long as it is waited for
 */
export async function followWorkloadApi(
  options: FollowWorkloadApiOptions,
): Promise<WorkloadApiIdentity> {
  const { clock, log, waitMs = usualWaitMs } = options;
  const path = workloadSocket(options.address);
  const changes = new ChangeSignal((thrown) => log.error({ err: thrown }, 'a listener failed'));
  const stopping = new AbortController();
  let held: Held | undefined;
  let failure: unknown;
  const first = Promise.withResolvers<void>();

  async function follow(): Promise<void> {
    const { signal } = stopping;
    let wait = minBackoffMs;
    while (!signal.aborted) {
      try {
        for await (const response of x509Stream(path, signal)) {
          held = heldOf(response, options);
          const { svid } = held.identity;
          const told = { spiffeId: svid.spiffeId.toString(), serial: svid.serialHex };
          log.info({ ...told, bundles: [...held.bundles.keys()] }, 'identity of the Workload API');
          wait = minBackoffMs;
          first.resolve();
          changes.notify();
        }
      } catch (thrown) {
        failure = thrown;
        log.warn({ path, reason: messageOf(thrown) }, 'the Workload API gives no identity now');
      }
      await clock.sleep(wait, { signal, ref: false }).catch(() => {});
      wait = Math.min(wait * 2, maxBackoffMs);
    }
  }
  const following = follow();
  const late = new AbortController();
  const overdue = clock.sleep(waitMs, { signal: late.signal }).catch(() => {});
  await Promise.race([first.promise, overdue]);
  late.abort();
  if (held === undefined) {
    stopping.abort();
    await following;
    throw noneIn(options, path, waitMs, failure);
  }
  const now = () => held as Held;
  return {
    get identity() {
      return now().identity;
    },
    get trustDomains() {
      return [...now().bundles.keys()];
    },
    svid: () => now().identity.svid,
    bundle: (domain) => now().bundles.get(domain),
    authorities: () => now().identity.bundle.authorities,
    onChange: (listener) => changes.onChange(listener),
    stop: () => stopping.abort(),
  };
}

function noneIn(
  { spiffeId }: FollowWorkloadApiOptions,
  path: string,
  waitMs: number,
  cause: unknown,
): CountersignError {
  const wanted = spiffeId === undefined ? 'no identity' : `no identity "${spiffeId}"`;
  const seen = cause === undefined ? 'no answer came' : messageOf(cause);
  const message = `${wanted} at "${path}" within ${formatDuration(waitMs)}: ${seen}`;
  const fields = { path, ...(spiffeId !== undefined && { spiffeId }) };
  return new CountersignError('ERR_IDENTITY_WORKLOAD_API', message, { fields, cause });
}

interface Held {
  readonly identity: Identity;
  readonly bundles: ReadonlyMap<string, TrustBundle>;
}

function heldOf(
  { svids, federated }: X509Response,
  { spiffeId, clock }: FollowWorkloadApiOptions,
): Held {
  const sent = spiffeId === undefined ? svids[0] : svids.find((each) => each.spiffeId === spiffeId);
  if (sent === undefined) {
    const given = svids.map((each) => each.spiffeId).join('", "');
    throw unfit(`it gave "${given}", expected ${spiffeId === undefined ? 'one' : `"${spiffeId}"`}`);
  }
  const privateKey = createPrivateKey({
    key: Buffer.from(sent.key),
    format: 'der',
    type: 'pkcs8',
  });
  const svid = makeSvid(
    certificatesFrom(sent.chain).map(({ raw }) => raw),
    privateKey,
  );
  if (svid.spiffeId.toString() !== sent.spiffeId) {
    throw unfit(`the certificate of "${sent.spiffeId}" is that of "${svid.spiffeId}"`);
  }
  const { trustDomain } = svid.spiffeId;
  const bundle = makeBundle(trustDomain, certificatesFrom(sent.bundle));
  const identity = { svid, bundle };
  const proved = proveIdentity(identity, clock.now());
  if (!proved.ok) throw unfit(proved.detail);
  const bundles = new Map([[trustDomain, bundle]]);
  for (const [domain, encoded] of federated) {
    // The own domain's bundle is the one that came with the identity.
    if (domain === trustDomain) continue;
    bundles.set(domain, makeBundle(domain, certificatesFrom(encoded)));
  }
  return { identity, bundles };
}

function unfit(detail: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_RESPONSE', `identity of the Workload API: ${detail}`);
}
