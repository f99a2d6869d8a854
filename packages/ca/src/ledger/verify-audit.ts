import { equalBytes, messageOf, toHex } from '@countersign/base';
import { type Checkpoint, leafHash, TreeFrontier } from '@countersign/wire';
import {
  type AuditHead,
  type AuditRow,
  auditGenesis,
  hashOfRecord,
  hashOfRow,
} from './audit-trail.ts';
import type { UnmarkedDocument } from './checks/contradictions.ts';
import type { Ledger, LedgerRecord, LedgerStatus } from './ledger.ts';

export interface AuditVerdict {
  /** Empty: every row and record is as it was written. What stands at no position, or against another table, comes first. */
  readonly findings: readonly string[];
  /** The newest row, for comparison with one noted before, and to note elsewhere: `expect` of the next time. */
  readonly head: AuditHead;
  readonly rows: number;
  readonly records: number;
  /** Documents that were written before the trail had their hashes: nothing vouches for them. */
  readonly unmarked: readonly string[];
}

export interface VerifyAuditOptions {
  /** A row that was seen before, by its number and hash: the trail must still have it. */
  readonly expect?: AuditHead | undefined;
  /** What the issuance log has signed, read before: the ledger must still have those certificates. */
  readonly signed?: Checkpoint | undefined;
}

const page = 1000;
/** A window of positions whose tables are compared, in one statement a check. */
const positions = 1000;
const mostFindings = 20;

type Verified = Pick<Ledger, 'auditAfter' | 'recordsAfter' | 'status' | 'contradictions'>;

/**
 * Reads the whole audit trail and every ledger record beside it: each row follows from the one before, each record is the
 * one that its row was written about, and none is missing, on either side, up to where it began to be read; the counters
 * are those of the records, and what is beside records follows from them. Somebody who rewrites the trail from a row on to
 * its end is found by a row that was noted elsewhere (`expect`), and as far as certificates go by what the issuance log has
 * signed (`signed`); by nothing else.
 */
export async function verifyAudit(
  ledger: Verified,
  options: VerifyAuditOptions = {},
): Promise<AuditVerdict> {
  // 1. What is written while this reads is left for the next time.
  const status = await headsOf(ledger);
  const check = new Check(options);

  // 2. What stands where there is no place for it, and what does not follow from the records.
  const { findings, unmarked } = await ledger.contradictions(0, positions);
  check.findAll(findings);
  for (let above = positions; above < status.position && check.mayGoOn; above += positions) {
    check.findAll((await ledger.contradictions(above, positions)).findings);
  }

  // 3. The trail, with the records that its rows are about; both ends, and what the head counts.
  try {
    await walk(ledger, status, check);
    if (check.mayGoOn) check.unmarked(unmarked);
  } catch (thrown) {
    // What was slipped in may be such that nothing can be read any more.
    if (check.verdict.findings.length === 0) throw thrown;
    check.findAll([`the ledger could not be read to its end: ${messageOf(thrown)}`]);
  }
  return { ...check.verdict, unmarked: unmarked.map(({ name }) => name) };
}

async function walk(ledger: Verified, status: LedgerStatus, check: Check): Promise<void> {
  const { audit: end } = status;
  const records = recordsOf(ledger);
  for (let seq = 0; seq < end.seq && check.mayGoOn; ) {
    const rows = (await ledger.auditAfter(seq, page)).filter((row) => row.seq <= end.seq);
    const last = rows.at(-1);
    if (last === undefined) break;
    for (const row of rows) {
      check.row(row);
      if (row.position !== undefined) check.records(row, await records.upTo(row.position));
    }
    seq = last.seq;
  }
  if (!check.mayGoOn) return;
  check.end(end);
  for (const record of await records.upTo(status.position)) check.unaudited(record);
  check.status(status);
  check.log();
}

/** The trail is flushed first, and the record of no position is newer than its row. */
async function headsOf(ledger: Pick<Ledger, 'auditAfter' | 'status'>) {
  await ledger.auditAfter(0, 1);
  return ledger.status();
}

/** Records in order, a page at a time; where one should be there may be none, or several. */
function recordsOf(ledger: Pick<Ledger, 'recordsAfter'>) {
  let held: LedgerRecord[] = [];
  let at = 0;
  let after = 0;
  let isOver = false;
  const load = async (): Promise<void> => {
    const found = await ledger.recordsAfter(after, page);
    isOver = found.length < page;
    const last = found.at(-1)?.position ?? after;
    // More of them may stand at the last position than the page has.
    held = isOver ? [...found] : found.filter(({ position }) => position < last);
    at = 0;
    after = last - 1;
  };
  return {
    /** Those up to a position that were not given yet. */
    async upTo(position: number): Promise<readonly LedgerRecord[]> {
      const given: LedgerRecord[] = [];
      for (;;) {
        if (at === held.length && !isOver) await load();
        const next = held[at];
        if (next === undefined || next.position > position) return given;
        given.push(next);
        at += 1;
      }
    },
  };
}

class Check {
  readonly #findings: string[] = [];
  readonly #expect: AuditHead | undefined;
  readonly #signed: Checkpoint | undefined;
  readonly #tree = new TreeFrontier();
  readonly #counts = { intent: 0, issued: 0, abandoned: 0, token: 0, revocation: 0 };
  #lastPosition = 0;
  #lastRevocation = 0;
  #unmarkedChanges = 0;
  #head: AuditHead = auditGenesis;
  #rows = 0;
  #records = 0;

  constructor({ expect, signed }: VerifyAuditOptions) {
    this.#expect = expect;
    this.#signed = signed;
  }

  get mayGoOn(): boolean {
    return this.#findings.length < mostFindings;
  }

  get verdict(): Omit<AuditVerdict, 'unmarked'> {
    const [findings, head, rows, records] = [this.#findings, this.#head, this.#rows, this.#records];
    return { findings, head, rows, records };
  }

  findAll(findings: readonly string[]): void {
    for (const finding of findings) this.#find(finding);
  }

  row(row: AuditRow): void {
    const { seq, hash } = this.#head;
    this.#rows += 1;
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
    this.#head = { seq: row.seq, hash: row.hash };
    if (isUnmarkedChange(row)) this.#unmarkedChanges += 1;
  }

  /** What stands up to the position that a row is about: the one record that it has the hash of. */
  records(row: AuditRow, found: readonly LedgerRecord[]): void {
    const { seq, position = 0, record: expected } = row;
    // Rows may begin behind the first record only where the ledger is older than its trail, which then has them all.
    if (position !== this.#lastPosition + 1) {
      const sides = `the record before it is ${this.#lastPosition}`;
      this.#find(`audit row ${seq}: it is about ledger record ${position}, ${sides}`);
    }
    this.#lastPosition = position;
    const here = found.filter((record) => record.position === position);
    const mine = here.find((record) => hashOfRecord(record) === expected) ?? here[0];
    for (const record of found) if (record !== mine) this.unaudited(record);
    if (mine === undefined) {
      this.#find(`ledger record ${position}: missing, audit row ${seq} is about it`);
      return;
    }
    this.#count(mine);
    if (here.length === 1 && hashOfRecord(mine) !== expected) {
      this.#find(`${nameOf(mine)}: changed: it is not what audit row ${seq} was written about`);
    }
  }

  unaudited(record: LedgerRecord): void {
    this.#find(`${nameOf(record)}: slipped in: no audit row is about it`);
  }

  end(end: AuditHead): void {
    if (this.#head.seq !== end.seq) {
      this.#find(`audit row ${this.#head.seq + 1} to ${end.seq}: missing at the end`);
    } else if (this.#head.hash !== end.hash) {
      this.#find(`audit row ${end.seq}: its hash is not the one that the ledger's head has`);
    }
    if (this.#expect !== undefined && this.#expect.seq > this.#head.seq) {
      this.#find(`audit row ${this.#expect.seq}: missing, it was there before`);
    }
  }

  /** The head and its counters are one row, of the moment when this began to read. */
  status(status: LedgerStatus): void {
    const { intent, issued, abandoned, token, revocation } = this.#counts;
    const compared: readonly [what: string, said: number, found: number][] = [
      ['newest position', status.position, this.#lastPosition],
      ['newest revocation', status.revocationPosition, this.#lastRevocation],
      ['count of certificates', status.issued, issued],
      ['count of abandoned intents', status.abandoned, abandoned],
      ['count of open intents', status.openIntents, intent - issued - abandoned],
      ['count of revocations', status.revocations, revocation],
      ['count of tokens', status.tokens, token],
    ];
    for (const [what, said, found] of compared) {
      if (said === found) continue;
      this.#find(`ledger's head: changed: its ${what} is ${said}, that of the records ${found}`);
    }
  }

  /** A signature outlives what is cut off, or written anew. */
  log(): void {
    if (this.#signed === undefined) return;
    const { size, root } = this.#signed;
    if (this.#tree.size < size) {
      const sides = `it was signed for ${size} certificates, the ledger has ${this.#tree.size}`;
      this.#find(`issuance log: the ledger was cut: ${sides}`);
    } else if (!equalBytes(this.#tree.root, root)) {
      const sides = `the first ${size} certificates of the ledger lead to "${toHex(this.#tree.root)}"`;
      this.#find(
        `issuance log: the ledger was changed: it was signed with "${toHex(root)}", ${sides}`,
      );
    }
  }

  /** Each version of a document was written with a row, if one that does not name it. */
  unmarked(documents: readonly UnmarkedDocument[]): void {
    const versions = documents.reduce((sum, { version }) => sum + version, 0);
    if (versions <= this.#unmarkedChanges) return;
    for (const { name } of documents) {
      this.#find(`document "${name}": slipped in: no audit row is about it`);
    }
  }

  #count(record: LedgerRecord): void {
    this.#records += 1;
    this.#counts[record.kind] += 1;
    if (record.kind === 'revocation') this.#lastRevocation = record.position;
    if (record.kind === 'issued' && this.#tree.size < (this.#signed?.size ?? 0)) {
      this.#tree.append(leafHash(record.der));
    }
  }

  #find(finding: string): void {
    if (this.mayGoOn) this.#findings.push(finding);
  }
}

function isUnmarkedChange({ position, said }: AuditRow): boolean {
  if (position !== undefined || said.includes('"document":')) return false;
  return /"what":"(rotation|list|entries|tokens)"/.test(said);
}

function nameOf(record: LedgerRecord): string {
  const { kind, position } = record;
  const what =
    kind === 'intent' || kind === 'issued'
      ? ` of "${record.serialHex}"`
      : kind === 'token'
        ? ` "${record.id}"`
        : '';
  return `ledger record ${position} (${kind}${what})`;
}
