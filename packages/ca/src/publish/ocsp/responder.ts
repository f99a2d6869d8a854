import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import { type OcspResponder, ocspResponder } from '@countersign/x509';
import type { Ledger } from '../../ledger/ledger.ts';
import type { OcspConfig } from '../publish-config.ts';
import type { PublishMetrics } from '../publish-metrics.ts';
import type { PublishingIssuer } from '../publishing-issuer.ts';
import { issueResponder } from './issue-responder.ts';

export interface ResponderOptions {
  readonly issuer: PublishingIssuer;
  readonly config: OcspConfig;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PublishMetrics;
}

export interface CurrentResponder {
  readonly responder: OcspResponder;
  readonly notAfter: number;
}

const firstRetryMs = 1000;
const longestRetryMs = 60_000;

/**
 * Who answers for one issuer. Its certificate is made when somebody asks first, and replaced at half its lifetime, by
 * who asks then, in the background: no answer waits for it as long as the old one is good. A failure keeps the old.
 */
export class Responder {
  readonly #options: ResponderOptions;
  #current: (CurrentResponder & { readonly notBefore: number }) | undefined;
  #underWay: Promise<CurrentResponder> | undefined;
  #retry = { at: 0, waitMs: 0 };

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** At once where there is one for an answer of now. */
  current(): CurrentResponder | Promise<CurrentResponder> {
    const current = this.#current;
    const now = this.#options.clock.now();
    if (current === undefined || !this.#serves(current, now)) return this.#renew();
    const middle = (current.notBefore + current.notAfter) / 2;
    if (now >= middle && this.#canBeRenewed(current)) this.#renew().catch(() => {});
    return current;
  }

  #serves(current: CurrentResponder & { readonly notBefore: number }, now: number): boolean {
    const { issuer, config } = this.#options;
    // At the end of its issuer nothing lasts longer.
    const needed = Math.min(now + config.validityMs, issuer.certificate.notAfter);
    return now >= current.notBefore && now < current.notAfter && needed <= current.notAfter;
  }

  #canBeRenewed(current: CurrentResponder): boolean {
    const { clock, issuer } = this.#options;
    return (
      this.#underWay === undefined &&
      clock.monotonic() >= this.#retry.at &&
      current.notAfter < issuer.certificate.notAfter
    );
  }

  #renew(): Promise<CurrentResponder> {
    if (this.#underWay !== undefined) return this.#underWay;
    const { clock } = this.#options;
    if (clock.monotonic() < this.#retry.at) {
      const message = `no OCSP responder of "${this.#options.issuer.name}", tried again later`;
      return Promise.reject(new CountersignError('ERR_SIGNER', message));
    }
    const renewal = this.#issue().finally(() => {
      this.#underWay = undefined;
    });
    this.#underWay = renewal;
    return renewal;
  }

  async #issue(): Promise<CurrentResponder> {
    const { issuer, config, ledger, clock, log, metrics } = this.#options;
    try {
      const lifetimeMs = config.responderMs;
      const made = await issueResponder({ issuer, lifetimeMs, ledger, clock });
      const { certificate, signer } = made;
      const { notBefore, notAfter, raw, serialHex } = certificate;
      const responder = ocspResponder({ signer, certificates: [raw] });
      const current = { responder, notBefore, notAfter };
      this.#current = current;
      this.#retry = { at: 0, waitMs: 0 };
      metrics.renewals.add(1, { issuer: issuer.name, result: 'ok' });
      metrics.responderEnd.set(notAfter / 1000, { issuer: issuer.name });
      log.info({ issuer: issuer.name, serial: serialHex, notAfter }, 'OCSP responder issued');
      return current;
    } catch (thrown) {
      const waitMs = Math.min(longestRetryMs, this.#retry.waitMs * 2 || firstRetryMs);
      this.#retry = { at: clock.monotonic() + waitMs, waitMs };
      metrics.renewals.add(1, { issuer: issuer.name, result: 'failed' });
      const code = thrown instanceof CountersignError ? thrown.code : undefined;
      const told = { issuer: issuer.name, code, error: messageOf(thrown), waitMs };
      log.error(told, 'OCSP responder not issued, the last one is kept');
      throw thrown;
    }
  }
}
