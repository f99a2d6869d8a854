import type { Ledger, LedgerRecord, RevocationRecord } from './ledger.ts';

/** What the world outside was told: each must be in the ledger. */
export interface Acknowledged {
  /** Serials, lowercase hex, of certificates that a caller got. */
  readonly serials?: Iterable<string>;
  /** Positions of revocations that a caller was told of. */
  readonly revocations?: Iterable<number>;
}

export interface LedgerAudit {
  /** Empty: everything holds. One sentence each otherwise. */
  readonly findings: readonly string[];
  readonly records: number;
  readonly issued: number;
  readonly openIntents: number;
}

/**
 * Reads a whole ledger and checks what must hold at every moment, after every crash: positions dense and in order, each
 * certificate with its own intent and serial, no intent ended twice, no token spent twice, every revocation's `previous`
 * right, the counters true, and everything acknowledged there.
 */
export async function auditLedger(
  ledger: Ledger,
  acknowledged: Acknowledged = {},
): Promise<LedgerAudit> {
  const audit = new Audit();
  // Counters and position are one row: they are of the records up to it, whatever comes meanwhile.
  const status = await ledger.status();
  for (let position = 0; position < status.position; ) {
    const page = await ledger.recordsAfter(position, 1000);
    for (const record of page) if (record.position <= status.position) audit.read(record);
    const last = page.at(-1);
    if (last === undefined) break;
    position = last.position;
  }
  audit.compareAcknowledged(acknowledged);
  audit.compare('position', status.position, audit.position);
  audit.compare('revocation position', status.revocationPosition, audit.lastRevocation);
  audit.compare('issued', status.issued, audit.issued.size);
  audit.compare('abandoned', status.abandoned, audit.ended.size - audit.issued.size);
  audit.compare('open intents', status.openIntents, audit.open());
  const open = await ledger.openIntents();
  const { position: end } = await ledger.status();
  if (end === status.position) audit.compare('list of open intents', open.length, audit.open());
  return {
    findings: audit.findings,
    records: audit.position,
    issued: audit.issued.size,
    openIntents: audit.open(),
  };
}

class Audit {
  readonly findings: string[] = [];
  readonly issued = new Set<string>();
  readonly ended = new Set<number>();
  readonly #serialOfIntent = new Map<number, string>();
  readonly #serials = new Set<string>();
  readonly #tokenOfIntent = new Map<number, string>();
  readonly #revocations = new Set<number>();
  readonly #spent: { readonly id: string; readonly spentBy: number }[] = [];
  position = 0;
  lastRevocation = 0;

  open(): number {
    return this.#serialOfIntent.size - this.ended.size;
  }

  compare(what: string, said: number, found: number): void {
    if (said !== found)
      this.findings.push(`${what}: status says ${said}, the records say ${found}`);
  }

  read(record: LedgerRecord): void {
    if (record.position !== this.position + 1) {
      this.findings.push(`position ${record.position} follows ${this.position}`);
    }
    this.position = record.position;
    if (record.kind === 'intent') {
      if (this.#serials.has(record.serialHex)) {
        this.findings.push(`serial "${record.serialHex}" was ordered twice`);
      }
      this.#serials.add(record.serialHex);
      this.#serialOfIntent.set(record.position, record.serialHex);
      if (record.grant === 'token') {
        this.#tokenOfIntent.set(record.position, record.grantedBy ?? '');
      }
    } else if (record.kind === 'issued' || record.kind === 'abandoned') {
      this.#readOutcome(record);
    } else if (record.kind === 'revocation') {
      this.#readRevocation(record);
    } else if (record.spentBy !== undefined) {
      this.#spent.push({ id: record.id, spentBy: record.spentBy });
    }
  }

  compareAcknowledged(acknowledged: Acknowledged): void {
    for (const { id, spentBy } of this.#spent) {
      if (this.#tokenOfIntent.get(spentBy) !== id) {
        this.findings.push(
          `token "${id}" is spent by position ${spentBy}, which is not its intent`,
        );
      }
      this.#tokenOfIntent.delete(spentBy);
    }
    for (const [intent, id] of this.#tokenOfIntent) {
      this.findings.push(
        `the intent at ${intent} redeemed token "${id}", which is not spent by it`,
      );
    }
    for (const serial of acknowledged.serials ?? []) {
      if (!this.issued.has(serial)) {
        this.findings.push(`certificate "${serial}" was acknowledged and is not in the ledger`);
      }
    }
    for (const position of acknowledged.revocations ?? []) {
      if (!this.#revocations.has(position)) {
        this.findings.push(`revocation ${position} was acknowledged and is not in the ledger`);
      }
    }
  }

  #readOutcome(record: Extract<LedgerRecord, { kind: 'issued' | 'abandoned' }>): void {
    const serial = this.#serialOfIntent.get(record.intent);
    if (serial === undefined) {
      this.findings.push(`${record.kind} at ${record.position} has no intent at ${record.intent}`);
    }
    if (this.ended.has(record.intent)) {
      this.findings.push(`the intent at ${record.intent} ends again at ${record.position}`);
    }
    this.ended.add(record.intent);
    if (record.kind === 'abandoned') return;
    if (record.serialHex !== serial) {
      this.findings.push(`certificate at ${record.position} has another serial than its intent`);
    }
    this.issued.add(record.serialHex);
  }

  #readRevocation(record: RevocationRecord): void {
    if (record.previous !== this.lastRevocation) {
      this.findings.push(
        `revocation ${record.position} says that ${record.previous} precedes it, ${this.lastRevocation} does`,
      );
    }
    this.lastRevocation = record.position;
    this.#revocations.add(record.position);
  }
}
