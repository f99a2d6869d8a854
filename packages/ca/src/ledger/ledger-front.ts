import { type Clock, type CountersignError, type Log, messageOf } from '@countersign/base';
import { whoAsks } from './asked.ts';
import { type CountPage, withCount } from './count-covered.ts';
import type { Ledger } from './ledger.ts';
import type { ledgerReads, ledgerWrites } from './ledger-rules.ts';
import { RefusalNotes } from './refusal-notes.ts';

type Operations = typeof ledgerWrites & typeof ledgerReads;
export type OperationName = keyof Operations;
export type ArgumentsOf<N extends OperationName> = Operations[N] extends (
  tx: never,
  ...rest: infer A
) => unknown
  ? A
  : never;
export type ResultOf<N extends OperationName> = ReturnType<Operations[N]>;

/** Where operations run. `run` resolves once what it wrote is durable. */
export interface LedgerEngine {
  run<N extends OperationName>(name: N, args: ArgumentsOf<N>): Promise<ResultOf<N>>;
  /** Set once it has given up. */
  readonly failure: CountersignError | undefined;
  close(): Promise<void>;
}

/** The ledger's face: every implementation is this class over its engine, so that they cannot differ in their rules. */
export class LedgerFront implements Ledger {
  readonly #engine: LedgerEngine;
  readonly #log: Log;
  readonly #notes: RefusalNotes;
  readonly #listeners = new Set<(headRevocationPosition: number) => void>();

  /** `connect` gets the function that the engine calls after each commit that held a revocation. */
  constructor(
    connect: (committed: (head: number) => void) => LedgerEngine,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#log = log;
    this.#engine = connect((head) => this.#committed(head));
    this.#notes = new RefusalNotes({
      write: (refusals) => this.#engine.run('noteRefusals', [refusals]),
      now: () => Math.trunc(clock.now()),
      onLost: (thrown, refusals) =>
        log.error({ refusals, error: messageOf(thrown) }, 'refusals missing in the audit trail'),
    });
  }

  intend: Ledger['intend'] = (draft) => this.#engine.run('intend', [draft, whoAsks()]);
  issued: Ledger['issued'] = (issued) => this.#engine.run('issued', [issued]);
  abandoned: Ledger['abandoned'] = (intent, reason) =>
    this.#engine.run('abandoned', [intent, reason]);
  revoke: Ledger['revoke'] = async (order) =>
    withCount(order, await this.#engine.run('revoke', [order, whoAsks()]), this.#count);
  previewRevocation: Ledger['previewRevocation'] = async (order) =>
    withCount(order, await this.#engine.run('previewRevocation', [order]), this.#count);
  revocationsAfter: Ledger['revocationsAfter'] = (position, limit) =>
    this.#engine.run('revocationsAfter', [position, limit]);
  revokedAfter: Ledger['revokedAfter'] = (cursor, limit) =>
    this.#engine.run('revokedAfter', [cursor, limit]);
  coveredRuns: Ledger['coveredRuns'] = (question) => this.#engine.run('coveredRuns', [question]);
  endsOf: Ledger['endsOf'] = (serials) => this.#engine.run('endsOf', [serials]);
  certificateStatus: Ledger['certificateStatus'] = (serialHex) =>
    this.#engine.run('certificateStatus', [serialHex]);
  certificate: Ledger['certificate'] = (serialHex) => this.#engine.run('certificate', [serialHex]);
  findCertificates: Ledger['findCertificates'] = (query) =>
    this.#engine.run('findCertificates', [query]);
  createToken: Ledger['createToken'] = (draft) =>
    this.#engine.run('createToken', [draft, whoAsks()]);
  checkToken: Ledger['checkToken'] = (id, secretHash) =>
    this.#engine.run('checkToken', [id, secretHash]);
  blocking: Ledger['blocking'] = (by, value) => this.#engine.run('blocking', [by, value]);
  openIntents: Ledger['openIntents'] = () => this.#engine.run('openIntents', []);
  orphans: Ledger['orphans'] = () => this.#engine.run('orphans', []);
  status: Ledger['status'] = () => this.#engine.run('status', []);
  recordsAfter: Ledger['recordsAfter'] = (position, limit) =>
    this.#engine.run('recordsAfter', [position, limit]);
  certificatesAfter: Ledger['certificatesAfter'] = (position, limit) =>
    this.#engine.run('certificatesAfter', [position, limit]);
  contradictions: Ledger['contradictions'] = (above, limit) =>
    this.#engine.run('contradictions', [above, limit]);
  holdLease: Ledger['holdLease'] = async (hold) => {
    const answer = await this.#engine.run('holdLease', [hold, whoAsks()]);
    if (!answer.ok) {
      const { code, detail } = answer;
      this.noteRefusal({ asked: 'lease', subject: hold.instance, code, detail });
    }
    return answer;
  };
  releaseLease: Ledger['releaseLease'] = (instance, spiffeId) =>
    this.#engine.run('releaseLease', [instance, spiffeId, whoAsks()]);
  leases: Ledger['leases'] = () => this.#engine.run('leases', []);
  acknowledgements: Ledger['acknowledgements'] = (position) =>
    this.#engine.run('acknowledgements', [position]);

  noteRefusal: Ledger['noteRefusal'] = (refusal) => this.#notes.note(refusal, whoAsks());
  auditAfter: Ledger['auditAfter'] = async (seq, limit) => {
    await this.#notes.flush();
    return this.#engine.run('auditAfter', [seq, limit]);
  };

  document: Ledger['document'] = (name) => this.#engine.run('document', [name]);
  proveDocuments: Ledger['proveDocuments'] = () => this.#engine.run('proveDocuments', []);
  forgetLostDocuments: Ledger['forgetLostDocuments'] = () =>
    this.#engine.run('forgetLostDocuments', []);
  changeDocument: Ledger['changeDocument'] = (change) =>
    this.#engine.run('changeDocument', [change, whoAsks()]);
  reportBundle: Ledger['reportBundle'] = (report) => this.#engine.run('reportBundle', [report]);
  leaseHolders: Ledger['leaseHolders'] = () => this.#engine.run('leaseHolders', []);
  openTokens: Ledger['openTokens'] = (after, limit) =>
    this.#engine.run('openTokens', [after, limit]);
  liveCertificates: Ledger['liveCertificates'] = (after, limit) =>
    this.#engine.run('liveCertificates', [after, limit]);

  takeListNumber: Ledger['takeListNumber'] = (path, list) =>
    this.#engine.run('takeListNumber', [path, list]);
  archiveEnded: Ledger['archiveEnded'] = (order) => this.#engine.run('archiveEnded', [order]);
  edgeRecord: Ledger['edgeRecord'] = (kind, id) => this.#engine.run('edgeRecord', [kind, id]);
  edgeRecords: Ledger['edgeRecords'] = (query) => this.#engine.run('edgeRecords', [query]);
  changeEdge: Ledger['changeEdge'] = (changes) => this.#engine.run('changeEdge', [changes]);
  retention: Ledger['retention'] = () => this.#engine.run('retention', []);

  restore: Ledger['restore'] = (records, rows) => this.#engine.run('restore', [records, rows]);

  readonly #count = (page: CountPage) => this.#engine.run('countCovered', [page]);

  get failure(): CountersignError | undefined {
    return this.#engine.failure;
  }

  onCommit(listener: (headRevocationPosition: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#notes.flush();
    await this.#engine.close();
  }

  /** A listener's failure is its own: the commit stands and the other listeners hear of it. */
  #committed(head: number): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(head);
      } catch (thrown) {
        this.#log.error({ head, error: messageOf(thrown) }, 'a listener of ledger commits failed');
      }
    }
  }
}
