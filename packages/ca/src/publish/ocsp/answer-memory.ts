import type { CertId, OcspCertStatus } from '@countersign/x509';
import type { RevokedSince } from '../revoked-table.ts';
import type { OcspReply, ReplyLife } from './ocsp-reply.ts';

/** A certificate that was ordered here, and what was said about it. */
export interface Standing {
  /** Position of its intent. */
  readonly intent: number;
  readonly serialHex: string;
  readonly issuer: string;
  /** As the ledger said when it was asked. */
  readonly revoked: RevokedSince | undefined;
  /** Whether it had ended by then: from some time on nobody tells of it but the ledger's archive. */
  readonly isOver: boolean;
  /** By the form of the CertID that they repeat. */
  readonly answers: Map<string, KeptAnswer>;
}

/** One signed answer, and the requests that it is the answer to. */
export interface KeptAnswer {
  readonly standing: Standing;
  readonly certId: Pick<CertId, 'raw'>;
  reply: (OcspReply & { readonly life: ReplyLife }) | undefined;
  status: OcspCertStatus['status'];
  readonly keys: string[];
  isRefreshing: boolean;
}

/** Ways to ask the same: two hashes, GET and POST, and encodings that differ between clients. */
const mostKeysEach = 8;

/** Answers at hand, of a bounded number of certificates: the one that was kept first goes first. */
export class AnswerMemory {
  readonly #most: number;
  readonly #standings = new Map<number, Standing>();
  readonly #byKey = new Map<string, KeptAnswer>();

  constructor(most: number) {
    this.#most = most;
  }

  standing(intent: number): Standing | undefined {
    return this.#standings.get(intent);
  }

  asked(key: string): KeptAnswer | undefined {
    return this.#byKey.get(key);
  }

  keep(standing: Standing): void {
    if (this.#standings.has(standing.intent)) return;
    this.#standings.set(standing.intent, standing);
    const [oldest] = this.#standings.keys();
    if (this.#standings.size > this.#most && oldest !== undefined) this.#drop(oldest);
  }

  keepRequest(key: string, answer: KeptAnswer): void {
    const isKept = this.#standings.get(answer.standing.intent) === answer.standing;
    if (!isKept || answer.keys.length >= mostKeysEach || this.#byKey.has(key)) return;
    answer.keys.push(key);
    this.#byKey.set(key, answer);
  }

  /** What was said about it does not hold any more. */
  spoil(intent: number): void {
    for (const answer of this.#standings.get(intent)?.answers.values() ?? []) {
      answer.reply = undefined;
    }
  }

  clear(): void {
    this.#standings.clear();
    this.#byKey.clear();
  }

  #drop(intent: number): void {
    for (const { keys } of this.#standings.get(intent)?.answers.values() ?? []) {
      for (const key of keys) this.#byKey.delete(key);
    }
    this.#standings.delete(intent);
  }
}
