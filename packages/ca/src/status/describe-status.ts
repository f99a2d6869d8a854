import { type Clock, formatDuration, messageOf, toHex } from '@countersign/base';
import {
  type CertificateState,
  type ListStateOfAuthority,
  type LogState,
  openCheckpoint,
  parseNoteKey,
  type SignerState,
  type StatusFinding,
  type StatusResponse,
} from '@countersign/wire';
import { type Certificate, fingerprintOf } from '@countersign/x509';
import type { Ledger, LedgerStatus } from '../ledger/ledger.ts';
import { retentionAtFirst } from '../ledger/retention/retention-records.ts';
import { configNameOf } from '../rotation/rotation-document.ts';

/** What a status is made of: of an authority that serves, or of a data directory that nobody serves. */
export interface StatusSources {
  readonly version: string;
  readonly trustDomain: string;
  /** Root and intermediates, the root first. */
  readonly certificates: readonly NamedCertificate[];
  readonly ledger: Pick<Ledger, 'status' | 'leases' | 'retention' | 'failure'>;
  /** Of the root that signs now; the first certificate's unless given. */
  readonly rootFingerprint?: string | undefined;
  readonly isRetaining: boolean;
  readonly signers?: readonly SignerState[] | undefined;
  readonly lists?: readonly ListStateOfAuthority[] | undefined;
  readonly log?: LogState | undefined;
  /** What was found wrong already. */
  readonly findings: readonly StatusFinding[];
  readonly clock: Clock;
  readonly uptimeMs: number;
}

export interface NamedCertificate {
  readonly name: string;
  readonly certificate: Certificate;
  /** Whether its key is here. */
  readonly signs: boolean;
}

/** A gateway that was silent for longer is told of: three heartbeats of its lease went missing. */
const silentMs = 30_000;
/** A certificate of the authority's own that has so little left of its life wants a successor. */
const leastLeft = 0.1;

/** Everything that an operator asks of an authority at a glance, and what in it wants a look. */
export async function describeStatus(sources: StatusSources): Promise<StatusResponse> {
  const { version, trustDomain, clock, ledger, uptimeMs } = sources;
  const now = clock.now();
  const findings: StatusFinding[] = [...sources.findings];

  // 1. The ledger; one that failed has no position to tell.
  const read = await readLedger(ledger, findings);
  const { status, leases, retention } = read;

  // 2. Its certificates, and how long they last.
  const certificates = sources.certificates.map(stateOf);
  for (const each of certificates) findings.push(...lifeFindings(each, now));

  // 3. Who follows the feed, and how long it was silent.
  const gateways = leases.map(({ instance, spiffeId, position, lastSeen, maxSilenceMs }) => ({
    id: instance,
    spiffeId,
    position,
    lastSeenMsAgo: Math.max(0, now - lastSeen),
    maxSilenceMs,
  }));
  for (const { id, lastSeenMsAgo } of gateways) {
    if (lastSeenMsAgo < silentMs) continue;
    const detail = `gateway "${id}" has been silent for ${formatDuration(lastSeenMsAgo)}`;
    findings.push({ about: 'gateways', detail });
  }

  // 4. Lists that are over.
  for (const { path, nextUpdate } of sources.lists ?? []) {
    if (nextUpdate > now) continue;
    const detail = `list "${path}" ended at ${new Date(nextUpdate).toISOString()}`;
    findings.push({ about: 'lists', detail });
  }
  const [first] = certificates;
  // Where the key of the root was replaced, the one that signs now.
  const rootFingerprint = sources.rootFingerprint ?? first?.fingerprint ?? '';
  const { certificates: archived, tokens, revocations, endedBefore, finishedAt } = retention;
  const { signers, lists, log } = sources;
  return {
    version,
    trustDomain,
    rootFingerprint,
    ledger: {
      position: status.position,
      revocationPosition: status.revocationPosition,
      issued: status.issued,
      revoked: status.revocations,
      openIntents: status.openIntents,
      audit: status.audit,
    },
    gateways,
    intermediates: certificates
      .filter(({ name }) => configNameOf(name) !== 'root')
      .map(({ name, fingerprint, notAfter }) => ({ name, fingerprint, notAfter })),
    uptimeMs,
    certificates,
    ...(signers !== undefined && { signers }),
    ...(lists !== undefined && { lists }),
    ...(log !== undefined && { log }),
    retention: {
      enabled: sources.isRetaining,
      certificates: archived,
      tokens,
      revocations,
      endedBefore,
      finishedAt,
    },
    findings,
  };
}

/** What the newest checkpoint of a log says; undefined before the first. */
export function logStateOf(note: string | undefined, key: string): LogState | undefined {
  if (note === undefined) return undefined;
  const head = openCheckpoint(note, parseNoteKey(key));
  if (!head.ok) return undefined;
  return { origin: head.origin, size: head.size, root: toHex(head.root) };
}

async function readLedger(ledger: StatusSources['ledger'], findings: StatusFinding[]) {
  try {
    const [status, leases, retention] = await Promise.all([
      ledger.status(),
      ledger.leases(),
      ledger.retention(),
    ]);
    return { status, leases, retention };
  } catch (thrown) {
    const detail = ledger.failure?.message ?? messageOf(thrown);
    if (!findings.some(({ about }) => about === 'ledger'))
      findings.push({ about: 'ledger', detail });
    return { status: unknown, leases: [], retention: retentionAtFirst };
  }
}

const unknown: LedgerStatus = {
  position: 0,
  revocationPosition: 0,
  issued: 0,
  abandoned: 0,
  openIntents: 0,
  revocations: 0,
  tokens: 0,
  audit: { seq: 0, hash: '0'.repeat(64) },
};

function stateOf({ name, certificate, signs }: NamedCertificate): CertificateState {
  const { notBefore, notAfter } = certificate;
  return { name, fingerprint: fingerprintOf(certificate), notBefore, notAfter, signs };
}

function lifeFindings(
  { name, notBefore, notAfter }: CertificateState,
  now: number,
): readonly StatusFinding[] {
  const leftMs = notAfter - now;
  if (leftMs > (notAfter - notBefore) * leastLeft) return [];
  const end = new Date(notAfter).toISOString();
  const what = leftMs <= 0 ? 'ended at' : 'wants a successor, it ends at';
  return [{ about: 'certificates', detail: `certificate of "${name}" ${what} ${end}` }];
}
