import {
  type AuditHead,
  type AuditRow,
  auditGenesis,
  hashOfRecord,
  hashOfRow,
} from './audit-trail.ts';
import type { Ledger, LedgerRecord } from './ledger.ts';

export interface AuditVerdict {
  /** Empty: every row and record is as it was written. The first broken row or record comes first. */
  readonly findings: readonly string[];
  /** The newest row, for comparison with one noted before, and to note elsewhere: `expect` of the next time. */
  readonly head: AuditHead;
  readonly rows: number;
  readonly records: number;
}

export interface VerifyAuditOptions {
  /** A row that was seen before, by its number and hash: the trail must still have it. */
  readonly expect?: AuditHead | undefined;
}

const page = 1000;
const mostFindings = 20;

/**
 * Reads the whole audit trail and every ledger record beside it: each row follows from the one before, each record is the
 * one that its row was written about, and none is missing, on either side, up to where it began to be read. Somebody who
 * rewrites the trail from a row on to its end is found by a row that was noted elsewhere (`expect`), and by nothing else.
 */
export async function verifyAudit(
  ledger: Pick<Ledger, 'auditAfter' | 'recordsAfter' | 'status'>,
  options: VerifyAuditOptions = {},
): Promise<AuditVerdict> {
  // What is written while this reads is left for the next time.
  const { audit: end, position: lastRecord } = await headsOf(ledger);
  const check = new Check(options.expect);
  const records = recordsOf(ledger);
  for (let seq = 0; seq < end.seq && check.mayGoOn; ) {
    const rows = (await ledger.auditAfter(seq, page)).filter((row) => row.seq <= end.seq);
    const last = rows.at(-1);
    if (last === undefined) break;
    for (const row of rows) {
      check.row(row);
      if (row.position === undefined) continue;
      check.record(row, await records.at(row.position));
    }
    seq = last.seq;
  }
  if (check.mayGoOn) {
    check.end(end);
    const rest = await records.rest();
    // What came while this read has its row by now; what stands beyond the head came some other way.
    const { position: newest } = await ledger.status();
    for (const record of rest) {
      if (record.position <= lastRecord || record.position > newest) check.unaudited(record);
    }
  }
  return { findings: check.findings, head: check.head, rows: check.rows, records: check.records };
}

/** The trail is flushed first, and the record of no position is newer than its row. */
async function headsOf(ledger: Pick<Ledger, 'auditAfter' | 'status'>) {
  await ledger.auditAfter(0, 1);
  return ledger.status();
}

/** Records in order, a page at a time; one that is asked for may be missing. */
function recordsOf(ledger: Pick<Ledger, 'recordsAfter'>) {
  let held: LedgerRecord[] = [];
  let next = 1;
  const load = async (): Promise<boolean> => {
    held = [...(await ledger.recordsAfter(next - 1, page))];
    return held.length > 0;
  };
  return {
    async at(position: number): Promise<LedgerRecord | undefined> {
      next = Math.max(next, position);
      while (held[0] !== undefined && held[0].position < position) held.shift();
      if (held.length === 0 && !(await load())) return undefined;
      if (held[0]?.position !== position) return undefined;
      next = position + 1;
      return held.shift();
    },
    /** Those behind the last that was asked for, a page of them at most. */
    async rest(): Promise<readonly LedgerRecord[]> {
      if (held.length === 0) await load();
      return held;
    },
  };
}

class Check {
  readonly findings: string[] = [];
  readonly #expect: AuditHead | undefined;
  #lastPosition = 0;
  head: AuditHead = auditGenesis;
  rows = 0;
  records = 0;

  constructor(expect: AuditHead | undefined) {
    this.#expect = expect;
  }

  get mayGoOn(): boolean {
    return this.findings.length < mostFindings;
  }

  row(row: AuditRow): void {
    const { seq, hash } = this.head;
    this.rows += 1;
    if (row.seq !== seq + 1) {
      const [first, last] = [seq + 1, row.seq - 1];
      this.#find(`audit row ${first === last ? first : `${first} to ${last}`}: missing`);
    } else if (hashOfRow(hash, row) !== row.hash) {
      this.#find(`audit row ${row.seq}: changed, or the row before it: its hash does not follow`);
    }
    if (this.#expect?.seq === row.seq && this.#expect.hash !== row.hash) {
      const sides = `its hash is "${row.hash}", "${this.#expect.hash}" is expected`;
      this.#find(`audit row ${row.seq}: rewritten: ${sides}`);
    }
    this.head = { seq: row.seq, hash: row.hash };
  }

  record({ seq, position = 0, record: expected }: AuditRow, found: LedgerRecord | undefined): void {
    // Rows may begin behind the first record only where the ledger is older than its trail, which then has them all.
    if (position !== this.#lastPosition + 1) {
      const sides = `the record before it is ${this.#lastPosition}`;
      this.#find(`audit row ${seq}: it is about ledger record ${position}, ${sides}`);
    }
    this.#lastPosition = position;
    if (found === undefined) {
      this.#find(`ledger record ${position}: missing, audit row ${seq} is about it`);
      return;
    }
    this.records += 1;
    if (hashOfRecord(found) === expected) return;
    const sides = `it is not what audit row ${seq} was written about`;
    this.#find(`ledger record ${position} (${found.kind}${nameOf(found)}): changed: ${sides}`);
  }

  unaudited(record: LedgerRecord): void {
    this.#find(
      `ledger record ${record.position} (${record.kind}${nameOf(record)}): no audit row is about it`,
    );
  }

  end(end: AuditHead): void {
    if (this.head.seq !== end.seq) {
      this.#find(`audit row ${this.head.seq + 1} to ${end.seq}: missing at the end`);
    } else if (this.head.hash !== end.hash) {
      this.#find(`audit row ${end.seq}: its hash is not the one that the ledger's head has`);
    }
    if (this.#expect !== undefined && this.#expect.seq > this.head.seq) {
      this.#find(`audit row ${this.#expect.seq}: missing, it was there before`);
    }
  }

  #find(finding: string): void {
    if (this.mayGoOn) this.findings.push(finding);
  }
}

function nameOf(record: LedgerRecord): string {
  if (record.kind === 'intent' || record.kind === 'issued') return ` of "${record.serialHex}"`;
  return record.kind === 'token' ? ` "${record.id}"` : '';
}
