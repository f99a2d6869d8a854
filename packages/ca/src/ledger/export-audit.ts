import type { AuditRow, AuditSaid } from './audit-trail.ts';
import type { Ledger, LedgerRecord } from './ledger.ts';

const page = 1000;

/** What an exported line says, beyond `seq`, `at`, `what` and `hash`: whatever is known. */
type Told = Readonly<Record<string, unknown>>;

/**
 * The audit trail behind row `after` as JSON lines, a page at a time: each decision with who asked, from where, by which
 * provisioner, what was decided and why. `seq`, `hash` and `record` (the hash of the ledger record) let a reader check
 * the chain; keep the last line's `seq` as the next `after`.
 */
export async function* exportAudit(
  ledger: Pick<Ledger, 'auditAfter' | 'recordsAfter'>,
  after: number,
): AsyncGenerator<string, void> {
  for (let seq = after; ; ) {
    const rows = await ledger.auditAfter(seq, page);
    const last = rows.at(-1);
    if (last === undefined) return;
    const records = await recordsFor(ledger, rows);
    yield rows
      .map((row) => `${JSON.stringify(lineOf(row, records.get(row.position ?? 0)))}\n`)
      .join('');
    seq = last.seq;
  }
}

async function recordsFor(
  ledger: Pick<Ledger, 'recordsAfter'>,
  rows: readonly AuditRow[],
): Promise<ReadonlyMap<number, LedgerRecord>> {
  const positions = rows.flatMap(({ position }) => (position === undefined ? [] : [position]));
  const [first] = positions;
  if (first === undefined) return new Map();
  const records = await ledger.recordsAfter(first - 1, positions.length);
  return new Map(records.map((record) => [record.position, record]));
}

function lineOf(row: AuditRow, record: LedgerRecord | undefined): Told {
  const said = JSON.parse(row.said) as AuditSaid;
  const { at = record?.at, what, ...words } = said;
  return {
    seq: row.seq,
    ...(at === undefined ? {} : { at: new Date(at).toISOString() }),
    what: record === undefined ? (what ?? 'missing') : whatIs(record),
    ...words,
    ...(record === undefined ? {} : tellings[record.kind](record as never)),
    ...(row.position === undefined ? {} : { position: row.position, record: row.record }),
    hash: row.hash,
  };
}

function whatIs(record: LedgerRecord): string {
  if (record.kind !== 'intent') return decisions[record.kind];
  return record.grant === 'renewal' ? 'renew' : 'issue';
}

const decisions = {
  issued: 'issued',
  abandoned: 'abandoned',
  token: 'token',
  revocation: 'revoke',
} as const;

const tellings: {
  readonly [K in LedgerRecord['kind']]: (record: Extract<LedgerRecord, { kind: K }>) => Told;
} = {
  intent: ({
    serialHex,
    spiffeId,
    names,
    spkiHash,
    provisioner,
    grant,
    grantedBy,
    issuer,
    notAfter,
  }) => ({
    serial: serialHex,
    spiffeId,
    names,
    key: spkiHash,
    provisioner,
    grant,
    grantedBy,
    issuer,
    notAfter: new Date(notAfter).toISOString(),
  }),
  issued: ({ serialHex, intent }) => ({ serial: serialHex, intent }),
  abandoned: ({ intent, reason }) => ({ intent, reason }),
  token: ({ id, spiffeId, names, provisioner, expiresAt }) => ({
    token: id,
    spiffeId,
    names,
    provisioner,
    expiresAt: new Date(expiresAt).toISOString(),
  }),
  revocation: ({ by, value, reason, block, orderedBy }) => ({
    subject: `${by} ${value}`,
    reason,
    block,
    orderedBy,
  }),
};
