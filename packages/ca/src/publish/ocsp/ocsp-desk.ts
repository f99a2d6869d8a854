import { type Clock, CountersignError, fromHex, type Log, messageOf } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe';
import {
  buildOcspResponse,
  type CertId,
  issuerKeyOf,
  issuerKeysOf,
  type OcspAnswer,
  type OcspCertStatus,
  type OcspRequest,
  parseOcspRequest,
} from '@countersign/x509';
import type { Ledger } from '../../ledger/ledger.ts';
import type { OcspConfig } from '../publish-config.ts';
import type { PublishMetrics } from '../publish-metrics.ts';
import type { PublishingIssuer } from '../publishing-issuer.ts';
import type { RevokedIndex } from '../revoked-index.ts';
import { AnswerMemory, type KeptAnswer, type Standing } from './answer-memory.ts';
import { errorReply, lifeOf, type OcspError, type OcspReply } from './ocsp-reply.ts';
import { type CurrentResponder, Responder } from './responder.ts';
import { SigningTurns } from './signing-turns.ts';

export interface OcspDeskOptions {
  readonly issuers: readonly PublishingIssuer[];
  readonly ledger: Ledger;
  readonly index: RevokedIndex;
  readonly config: OcspConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PublishMetrics;
  /** Certificates whose answers are kept. Default 50,000, some 1.5 kB each. */
  readonly mostKept?: number | undefined;
  /** Certificates that are asked about at once without an answer at hand; beyond it: tryLater. Default 512. */
  readonly mostUnderWay?: number | undefined;
}

/** An issuer's part of the desk. */
interface Counter {
  readonly name: string;
  readonly responder: Responder;
}

/** How long an answer about a serial number that was never ordered may be believed. */
const longestUnknownMs = 300_000;
/** How long the ledger is waited for when a revocation is known to be there. */
const longestWaitMs = 1000;

/**
 * Answers about certificates (RFC 6960): from memory where the same was asked before and nothing has changed, otherwise
 * signed on demand, by a certificate that its issuer made for this. What the ledger has committed here is never
 * answered with what was before.
 */
export class OcspDesk {
  readonly #options: OcspDeskOptions;
  /** By `issuerKeyOf` their CertIDs. */
  readonly #counters = new Map<string, Counter>();
  readonly #byName = new Map<string, Counter>();
  readonly #memory: AnswerMemory;
  readonly #turns = new SigningTurns();
  readonly #mostUnderWay: number;
  #underWay = 0;

  constructor(options: OcspDeskOptions) {
    this.#options = options;
    this.#memory = new AnswerMemory(options.mostKept ?? 50_000);
    this.#mostUnderWay = options.mostUnderWay ?? 512;
    this.takeUp(options.issuers);
  }

  /** Who issues now: those that are new are answered for, too. */
  takeUp(issuers: readonly PublishingIssuer[]): void {
    for (const issuer of issuers) {
      if (issuer.signer === undefined || this.#byName.has(issuer.name)) continue;
      const responder = new Responder({ ...this.#options, issuer });
      const counter = { name: issuer.name, responder };
      this.#byName.set(issuer.name, counter);
      const { subject, spki } = issuer.certificate;
      for (const key of issuerKeysOf({ subject, spki })) this.#counters.set(key, counter);
    }
  }

  /**
   * The answer at hand for a request that was made in these very words before.
   *
   * @param key the request as it came: of one form of HTTP, whole
   */
  atHand(key: string): OcspReply | undefined {
    if (this.#options.index.isBehind) return undefined;
    const kept = this.#memory.asked(key);
    if (kept?.reply === undefined) return undefined;
    const { thisUpdate, nextUpdate } = kept.reply.life;
    const age = this.#options.clock.now() - thisUpdate;
    const span = nextUpdate - thisUpdate;
    if (age < 0 || age >= span * oldestKept) return undefined;
    if (age >= span / 2) this.#refresh(kept);
    this.#options.metrics.answers.add(1, fromMemory[kept.status]);
    return kept.reply;
  }

  /** An answer to any request, also to one that is none. Never rejects. */
  async answer(request: Uint8Array, key: string): Promise<OcspReply> {
    // 1. a request, about a certificate of an issuer of ours, if there is time for it
    const parsed = readRequest(request);
    if (parsed === undefined) return this.#refuse('malformedRequest');
    const counter = this.#counterOf(parsed);
    if (counter === undefined) return this.#refuse('unauthorized');
    const count = parsed.requests.length;
    if (this.#underWay + count > this.#mostUnderWay) return this.#refuse('tryLater');
    this.#underWay += count;
    try {
      return await this.#answerFor(counter, parsed, key);
    } catch (thrown) {
      const code = thrown instanceof CountersignError ? thrown.code : undefined;
      const told = { issuer: counter.name, code, error: messageOf(thrown) };
      this.#options.log.error(told, 'OCSP request not answered');
      return this.#refuse('internalError');
    } finally {
      this.#underWay -= count;
    }
  }

  /** A certificate was revoked or released: what was said about it is not said again. */
  forget(intent: number): void {
    this.#memory.spoil(intent);
  }

  clear(): void {
    this.#memory.clear();
  }

  async #answerFor(counter: Counter, request: OcspRequest, key: string): Promise<OcspReply> {
    const { index, metrics, clock } = this.#options;
    // 2. what is committed here has been read; while the ledger is read from its beginning, it is asked itself
    if (index.isLoaded && index.isBehind) await index.ready(longestWaitMs);

    // 3. whether each was ordered, and who signs
    const standings = await Promise.all(
      request.requests.map(({ certId }) => this.#standing(certId, counter)),
    );
    const signer = await counter.responder.current();
    await this.#turns.take();

    // 4. an answer that others may get too
    const [single] = request.requests;
    const [standing] = standings;
    if (single !== undefined && standing !== undefined && isPlain(request)) {
      const kept = keptAnswer(standing, single.certId);
      const reply = await this.#sign(kept, signer);
      this.#memory.keepRequest(key, kept);
      metrics.answers.add(1, { answer: kept.status, from: 'demand' });
      return reply;
    }

    // 5. or one for this request alone: with its nonce, about several, or about what is not known
    const answers = request.requests.map(({ certId }, i) =>
      this.#answerAbout(certId, this.#statusOf(standings[i]), signer),
    );
    for (const { status } of answers) {
      metrics.answers.add(1, { answer: status.status, from: 'demand' });
    }
    const { responder } = signer;
    const { nonce } = request;
    const producedAt = clock.now();
    return {
      body: await buildOcspResponse({ responder, producedAt, answers, nonce }),
      life: undefined,
    };
  }

  #refuse(status: OcspError): OcspReply {
    this.#options.metrics.answers.add(1, { answer: status, from: 'demand' });
    return errorReply(status);
  }

  /** The issuer of the first certificate whose issuer we are. */
  #counterOf(request: OcspRequest): Counter | undefined {
    for (const { certId } of request.requests) {
      const counter = this.#ownCounter(certId);
      if (counter !== undefined) return counter;
    }
    return undefined;
  }

  #ownCounter(certId: CertId): Counter | undefined {
    const key = issuerKeyOf(certId);
    return key === undefined ? undefined : this.#counters.get(key);
  }

  /** Undefined: no certificate of this issuer was ordered under that serial number. */
  async #standing(certId: CertId, counter: Counter): Promise<Standing | undefined> {
    const { serialHex } = certId;
    if (this.#ownCounter(certId) !== counter) return undefined;
    const intent = positionOfSerial(fromHex(serialHex) ?? new Uint8Array());
    if (intent === undefined) return undefined;
    const { ledger, index } = this.#options;
    // What is committed and not read yet, the ledger itself knows.
    const known = index.isBehind ? undefined : this.#memory.standing(intent);
    if (known !== undefined) return isOf(known, serialHex, counter) ? known : undefined;
    const status = await ledger.certificateStatus(serialHex);
    if (status.status === 'unknown') return undefined;
    const { issuer, notAfter } = status.certificate;
    const revoked = status.status === 'revoked' ? status.revocation : undefined;
    const isOver = notAfter < this.#options.clock.now();
    const standing: Standing = { intent, serialHex, issuer, revoked, isOver, answers: new Map() };
    if (!isOf(standing, serialHex, counter)) return undefined;
    // Nothing is kept that the index would not spoil.
    if (index.isLoaded) this.#memory.keep(standing);
    return standing;
  }

  /**
   * The index was told of every revocation and release in their order, but for what was archived. Of that, and while it
   * is behind, the ledger's word stands, and the stricter of both.
   */
  #statusOf(standing: Standing | undefined): OcspCertStatus {
    if (standing === undefined) return unknown;
    const { index } = this.#options;
    const isCurrent = index.isLoaded && !index.isBehind;
    const read = index.get(standing.intent);
    const revoked = isCurrent && !standing.isOver ? read : (read ?? standing.revoked);
    if (revoked === undefined) return good;
    return { status: 'revoked', at: revoked.at, reason: revoked.reason };
  }

  #answerAbout(
    certId: OcspAnswer['certId'],
    status: OcspCertStatus,
    { notAfter }: CurrentResponder,
  ): OcspAnswer {
    const { config, clock } = this.#options;
    const mostMs = status.status === 'unknown' ? longestUnknownMs : Number.POSITIVE_INFINITY;
    const thisUpdate = Math.floor(clock.now() / 1000) * 1000;
    // RFC 5019 §2.2.4: there always is one. Nobody believes an answer longer than its signer.
    const nextUpdate = Math.min(thisUpdate + Math.min(config.validityMs, mostMs), notAfter);
    return { certId, status, thisUpdate, nextUpdate };
  }

  async #sign(kept: KeptAnswer, signer: CurrentResponder): Promise<OcspReply> {
    const { standing, certId } = kept;
    for (;;) {
      const status = this.#statusOf(standing);
      const answer = this.#answerAbout(certId, status, signer);
      const { thisUpdate, nextUpdate = thisUpdate } = answer;
      const { responder } = signer;
      const body = await buildOcspResponse({
        responder,
        producedAt: thisUpdate,
        answers: [answer],
      });
      // Revoked while it was signed.
      if (this.#statusOf(standing).status !== status.status) continue;
      const reply = { body, life: lifeOf(body, thisUpdate, nextUpdate) };
      kept.status = status.status;
      kept.reply = reply;
      return reply;
    }
  }

  /** Ahead of its end, for the next who asks. */
  #refresh(kept: KeptAnswer): void {
    const counter = this.#byName.get(kept.standing.issuer);
    if (kept.isRefreshing || counter === undefined) return;
    kept.isRefreshing = true;
    const refreshed = async (): Promise<void> => {
      const signer = await counter.responder.current();
      await this.#turns.take();
      await this.#sign(kept, signer);
    };
    refreshed()
      .catch((thrown: unknown) => {
        const told = { issuer: counter.name, error: messageOf(thrown) };
        this.#options.log.warn(told, 'OCSP answer not refreshed, the one at hand is good for now');
      })
      .finally(() => {
        kept.isRefreshing = false;
      });
  }
}

const good = { status: 'good' } as const;
const unknown = { status: 'unknown' } as const;
/** Of its validity: what is older is not given out any more. */
const oldestKept = 0.75;

const fromMemory = {
  good: { answer: 'good', from: 'memory' },
  revoked: { answer: 'revoked', from: 'memory' },
  unknown: { answer: 'unknown', from: 'memory' },
} as const;

/** RFC 6960 §4.1.2, §4.4: with a critical extension that is not known, it is no request for us to answer. */
function readRequest(bytes: Uint8Array): OcspRequest | undefined {
  try {
    const request = parseOcspRequest(bytes);
    return request.unknownCriticalExtensions.length === 0 ? request : undefined;
  } catch (thrown) {
    if (thrown instanceof CountersignError) return undefined;
    throw thrown;
  }
}

/** Whether its answer is the answer to everybody who asks the same. */
function isPlain({ requests, extensions, requestorName, signature }: OcspRequest): boolean {
  const [single, second] = requests;
  return (
    single?.extensions.length === 0 &&
    second === undefined &&
    extensions.length === 0 &&
    requestorName === undefined &&
    signature === undefined
  );
}

function isOf(standing: Standing, serialHex: string, counter: Counter): boolean {
  return standing.serialHex === serialHex && standing.issuer === counter.name;
}

/** The place for the answer to this form of CertID: a client may compare the bytes, which have two encodings a hash. */
function keptAnswer(standing: Standing, certId: CertId): KeptAnswer {
  const form = `${certId.hash} ${certId.raw.byteLength}`;
  const known = standing.answers.get(form);
  if (known !== undefined) return known;
  const kept: KeptAnswer = {
    standing,
    // A view of the request would keep all of that.
    certId: { raw: certId.raw.slice() },
    reply: undefined,
    status: 'unknown',
    keys: [],
    isRefreshing: false,
  };
  standing.answers.set(form, kept);
  return kept;
}
