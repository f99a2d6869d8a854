import { CountersignError, type Denial, denial, toHex } from '@countersign/base';
import { serialForPosition } from '@countersign/spiffe/serial-position';
import { defaultProfileName } from '../profile/certificate-profile.ts';
import type { Asked } from './asked.ts';
import type { AuditRow, AuditSaid } from './audit-trail.ts';
import { contradictions } from './checks/contradictions.ts';
import { countCovered, type Uncounted } from './count-covered.ts';
import { coveredRuns } from './covered-runs.ts';
import { edgeReads, edgeWrites } from './edge/edge-rules.ts';
import {
  blockOf,
  issuedFacts,
  refusalOfProof,
  refusalOfRegistrar,
  refusalOfRenewal,
  refusalOfToken,
  wideBlockOf,
} from './grant-refusals.ts';
import { refusalOfReuse } from './key-reuse.ts';
import type {
  AbandonedRecord,
  CertificateStatus,
  Grant,
  Intent,
  IntentDraft,
  IntentRecord,
  IssuedCertificate,
  IssuedRecord,
  Lease,
  LeaseHold,
  LedgerRecord,
  RevocationBy,
  RevocationOrder,
  RevocationOutcome,
  RevocationRecord,
  TokenDraft,
  TokenRecord,
} from './ledger.ts';
import { factsOf, type LedgerStore } from './ledger-store.ts';
import { boundedLimit, type LedgerTransaction } from './ledger-transaction.ts';
import { takeListNumber } from './list-numbers.ts';
import { previewRevocation } from './preview-revocation.ts';
import { restoreRecords } from './restore-records.ts';
import { archivedRevocation, archiveEnded, withoutArchived } from './retention/archive-ended.ts';
import { mustBlock } from './revocation-order.ts';
import { revokedAfter } from './revoked-after.ts';
import { rotationReads, rotationWrites } from './rotation-rules.ts';
import { coveringRevocation } from './standing-revocations.ts';

/**
 * Writes, by name. Each checks everything first and writes last: a Denial or a CountersignError has written nothing, so
 * that it costs the others in its batch nothing.
 */
export const ledgerWrites = {
  intend(tx: LedgerTransaction, draft: IntentDraft, asked?: Asked): Intent | Denial {
    // 1. The certificate that is renewed, and who vouched first.
    const renewed =
      draft.grant.kind === 'renewal' ? issuedFacts(tx, draft.grant.serialHex) : undefined;
    if (renewed?.ok === false) return renewed;
    const provisioner = renewed?.facts.provisioner ?? draft.provisioner;

    // 2. What is blocked stays so, whatever the grant.
    const { spiffeId, spkiHash, issuer } = draft;
    const proofKey = draft.proofKey ?? renewed?.facts.proofKey;
    const wanted = { spiffeId, spkiHash, provisioner, issuer, proofKey };
    const blocked = blockOf(tx, wanted);
    if (blocked !== undefined) return blocked;

    // 3. The grant must be newer than every revocation of what it asks for.
    const refused =
      draft.grant.kind === 'token'
        ? refusalOfToken(tx, draft.grant, wanted)
        : draft.grant.kind === 'registrar'
          ? refusalOfRegistrar(tx, draft.grant.serialHex)
          : renewed !== undefined
            ? (refusalOfProof(renewed.facts, draft.proofKey) ??
              refusalOfRenewal(tx, renewed.facts, wanted))
            : undefined;
    if (refused !== undefined) return refused;
    const kept = renewed?.facts.profile;
    if (kept !== undefined && draft.profile === undefined && kept !== defaultProfileName) {
      return denial('ERR_POLICY_PROFILE', `profile "${kept}" ${ofRenewed}`, { profile: kept });
    }
    const reused = draft.refuseReusedKey === true ? refusalOfReuse(tx, draft) : undefined;
    if (reused !== undefined) return reused;

    // 4. Position, serial, record; the token is spent by the same commit.
    const position = tx.store.nextPosition();
    const serial = serialForPosition(position, tx.random(12));
    const serialHex = toHex(serial);
    const intent: IntentRecord = {
      kind: 'intent',
      position,
      at: tx.at,
      serialHex,
      spiffeId: draft.spiffeId,
      names: draft.names,
      spkiHash: draft.spkiHash,
      provisioner,
      grant: draft.grant.kind,
      grantedBy: grantedBy(draft.grant, renewed?.facts.token),
      issuer: draft.issuer,
      notAfter: Math.trunc(draft.notAfter),
      profile: draft.profile ?? kept,
      proofKey,
    };
    tx.store.addIntent(intent);
    trail(tx, intent, saidOf(asked));
    if (draft.grant.kind === 'token') tx.store.spendToken(draft.grant.id, position);
    return { ok: true, position, serial, serialHex, provisioner };
  },

  issued(tx: LedgerTransaction, issued: IssuedCertificate): { readonly position: number } {
    const intent = mustBeOpen(tx, issued.intent);
    if (intent.serialHex !== issued.serialHex) {
      throw stateError(
        `certificate has serial "${issued.serialHex}", its intent has "${intent.serialHex}"`,
      );
    }
    const position = tx.store.nextPosition();
    const record: IssuedRecord = { kind: 'issued', position, at: tx.at, ...issued };
    tx.store.addIssued(record);
    trail(tx, record);
    return { position };
  },

  abandoned(tx: LedgerTransaction, intent: number, reason: string): { readonly position: number } {
    mustBeOpen(tx, intent);
    const position = tx.store.nextPosition();
    const record: AbandonedRecord = { kind: 'abandoned', position, at: tx.at, intent, reason };
    tx.store.addAbandoned(record);
    trail(tx, record);
    return { position };
  },

  revoke(
    tx: LedgerTransaction,
    order: RevocationOrder,
    asked?: Asked,
  ): Uncounted<RevocationOutcome> | Denial {
    const previewed = previewRevocation(tx, order);
    if (!previewed.ok) return previewed;
    const { earlier, matched } = previewed;
    if (earlier !== undefined) return { ok: true, record: earlier, repeated: true, matched };

    const record: RevocationRecord = {
      kind: 'revocation',
      previous: tx.store.revocationHead(),
      position: tx.store.nextPosition(),
      at: tx.at,
      by: order.by,
      value: order.value,
      reason: order.reason,
      block: mustBlock(order),
      orderedBy: order.orderedBy,
    };
    tx.store.addRevocation(record);
    trail(tx, record, saidOf(asked));
    return { ok: true, record, repeated: false, matched };
  },

  createToken(tx: LedgerTransaction, draft: TokenDraft, asked?: Asked): TokenRecord {
    if (tx.store.token(draft.id) !== undefined)
      throw stateError(`token id "${draft.id}" exists already`);
    const token: TokenRecord = {
      kind: 'token',
      position: tx.store.nextPosition(),
      at: tx.at,
      id: draft.id,
      secretHash: draft.secretHash,
      spiffeId: draft.spiffeId,
      names: draft.names,
      provisioner: draft.provisioner,
      ttlMs: draft.ttlMs === undefined ? undefined : Math.trunc(draft.ttlMs),
      expiresAt: Math.trunc(draft.expiresAt),
      spentBy: undefined,
    };
    tx.store.addToken(token);
    trail(tx, token, saidOf(asked));
    return token;
  },

  holdLease(
    tx: LedgerTransaction,
    hold: LeaseHold,
    asked?: Asked,
  ): ({ readonly ok: true } & Lease) | Denial {
    const { instance, spiffeId, position, closed } = hold;
    const maxSilenceMs = Math.trunc(hold.maxSilenceMs);
    const found = tx.store.lease(instance);
    const live = found !== undefined && found.expiresAt > tx.at ? found : undefined;
    if (live !== undefined && live.spiffeId !== spiffeId) {
      return denial(
        'ERR_LEDGER_LEASE',
        `instance "${instance}" is held by "${live.spiffeId}", not by "${spiffeId}"`,
      );
    }
    const head = tx.store.revocationHead();
    if (position > head) {
      return denial(
        'ERR_LEDGER_LEASE',
        `instance "${instance}" acknowledges position ${position}, the newest revocation is ${head}`,
      );
    }
    const crowded = live === undefined ? crowdOf(tx, spiffeId) : undefined;
    if (crowded !== undefined) return crowded;
    const lease: Lease = {
      instance,
      spiffeId,
      maxSilenceMs,
      lastSeen: tx.at,
      expiresAt: tx.at + maxSilenceMs,
      position,
      closed: (live?.closed ?? 0) + (closed?.closed ?? 0),
    };
    // A newcomer is rare enough to clear up behind those who left.
    if (live === undefined) {
      tx.store.forgetEdges(tx.at, tx.at - acknowledgementsKeptMs);
      note(tx, { at: tx.at, what: 'lease', by: spiffeId, ...fromOf(asked), subject: instance });
    }
    tx.store.putLease(lease);
    if (position > (live?.position ?? 0)) {
      const report = closed ?? { closed: 0, kept: 0, elapsedMs: 0 };
      tx.store.addAcknowledgement({ ...report, instance, spiffeId, position, at: tx.at });
    }
    return { ok: true, ...lease };
  },

  releaseLease(tx: LedgerTransaction, instance: string, spiffeId: string, asked?: Asked): void {
    if (tx.store.lease(instance)?.spiffeId !== spiffeId) return;
    tx.store.deleteLease(instance);
    note(tx, { at: tx.at, what: 'release', by: spiffeId, ...fromOf(asked), subject: instance });
  },

  restore: (
    tx: LedgerTransaction,
    records: readonly LedgerRecord[],
    rows: readonly AuditRow[],
  ): void => restoreRecords(tx.store, records, rows),

  ...rotationWrites,
  ...edgeWrites,

  archiveEnded,
  takeListNumber,

  noteRefusals(tx: LedgerTransaction, refusals: readonly AuditSaid[]): void {
    for (const refusal of refusals) note(tx, { ...refusal, what: 'refused' });
  },
} as const;

/** Reads, by name; they see what is committed alone. */
export const ledgerReads = {
  previewRevocation,

  checkToken(
    tx: LedgerTransaction,
    id: string,
    secretHash: string,
  ): ({ readonly ok: true } & TokenRecord) | Denial {
    const token = tx.store.token(id);
    const refused = refusalOfToken(
      tx,
      { kind: 'token', id, secretHash },
      {
        spiffeId: token?.spiffeId,
        spkiHash: undefined,
        provisioner: token?.provisioner,
      },
    );
    if (refused !== undefined) return refused;
    if (token === undefined) return denial('ERR_TOKEN_UNKNOWN', 'no such token');
    return { ok: true, ...token };
  },

  certificateStatus(tx: LedgerTransaction, serialHex: string): CertificateStatus {
    const intent = tx.store.intentBySerial(serialHex);
    if (intent === undefined) return { status: 'unknown' };
    const certificate = factsOf(intent);
    const revocation = coveringRevocation(tx, certificate) ?? archivedRevocation(tx, certificate);
    return revocation === undefined
      ? { status: 'good', certificate }
      : { status: 'revoked', certificate, revocation };
  },

  certificate: (tx: LedgerTransaction, serialHex: string) => tx.store.certificate(serialHex),
  findCertificates: (
    tx: LedgerTransaction,
    query: Parameters<LedgerStore['findCertificates']>[0],
  ) => tx.store.findCertificates({ ...query, limit: boundedLimit(query.limit ?? 100) }),
  revocationsAfter: (tx: LedgerTransaction, position: number, limit: number) =>
    withoutArchived(tx, position, tx.store.revocationsAfter(position, boundedLimit(limit))),
  revokedAfter,
  coveredRuns,
  countCovered,
  endsOf: (tx: LedgerTransaction, serials: readonly string[]) =>
    serials.map((serial) => tx.store.intentBySerial(serial)?.notAfter),
  blocking: (tx: LedgerTransaction, by: Exclude<RevocationBy, 'serial'>, value: string) =>
    tx.store.blockingRevocation(by, value) ??
    (by === 'spiffe-id' ? wideBlockOf(tx, { spiffeId: value }) : undefined),
  openIntents: (tx: LedgerTransaction) => tx.store.openIntents(),
  orphans: (tx: LedgerTransaction) => tx.store.orphans(),
  retention: (tx: LedgerTransaction) => tx.store.archive.state(),
  contradictions,
  status: (tx: LedgerTransaction) => tx.store.status(),
  recordsAfter: (tx: LedgerTransaction, position: number, limit: number) =>
    tx.store.recordsAfter(position, boundedLimit(limit)),
  certificatesAfter: (tx: LedgerTransaction, position: number, limit: number) =>
    tx.store.certificatesAfter(position, boundedLimit(limit)),
  auditAfter: (tx: LedgerTransaction, seq: number, limit: number) =>
    tx.store.auditAfter(seq, boundedLimit(limit)),
  ...rotationReads,
  ...edgeReads,
  leases: (tx: LedgerTransaction) => tx.store.liveLeases(tx.at),
  acknowledgements: (tx: LedgerTransaction, position: number) =>
    tx.store.acknowledgements(position),
} as const;

/** Every record has its row in the trail, by the same commit. */
function trail(tx: LedgerTransaction, record: LedgerRecord, said: AuditSaid = {}): void {
  tx.store.trail(said, record);
}

function note(tx: LedgerTransaction, said: AuditSaid): void {
  tx.store.trail(said);
}

function saidOf(asked: Asked | undefined): AuditSaid {
  return asked === undefined ? {} : { by: asked.by, ...fromOf(asked) };
}

function fromOf(asked: Asked | undefined): Pick<AuditSaid, 'from'> {
  return asked?.from === undefined ? {} : { from: asked.from };
}

/** Every revocation waits for every lease: nobody may hold an army of them. */
const mostLeasesEach = 256;
const acknowledgementsKeptMs = 7 * 86_400_000;

function crowdOf(tx: LedgerTransaction, spiffeId: string): Denial | undefined {
  const held = tx.store.liveLeases(tx.at).filter((lease) => lease.spiffeId === spiffeId).length;
  if (held < mostLeasesEach) return undefined;
  const sides = `holds ${held} leases, at most ${mostLeasesEach} are given to one identity`;
  return denial('ERR_LEDGER_LEASE', `"${spiffeId}" ${sides}`, { held, most: mostLeasesEach });
}

const ofRenewed = 'is that of the certificate to renew, there are no profiles any more';

function mustBeOpen(tx: LedgerTransaction, position: number) {
  const intent = tx.store.intent(position);
  if (intent === undefined) throw stateError(`no intent stands at position ${position}`);
  const outcome = tx.store.outcomeOf(position);
  if (outcome !== undefined)
    throw stateError(`the intent at position ${position} is ${outcome}, not open`);
  return intent;
}

function grantedBy(grant: Grant, token: string | undefined): string | undefined {
  if (grant.kind === 'operator') return undefined;
  if (grant.kind === 'token') return grant.id;
  if (grant.kind === 'door') return grant.evidence;
  return token === undefined ? grant.serialHex : `${grant.serialHex} ${token}`;
}

function stateError(message: string): CountersignError {
  return new CountersignError('ERR_LEDGER_STATE', message);
}
