import type { Counter, Log, Meter } from '@countersign/base';
import type { PeerProcess } from '../peer/peer-process.ts';
import type { EnvoyNode, ErrorDetail } from './sds-messages.ts';

/** What an Envoy says of an answer: taken, or not and why. The operator sees both. */
export class SdsReport {
  readonly #log: Log;
  readonly #results: Counter;

  constructor({ log, meter }: { readonly log: Log; readonly meter: Meter }) {
    this.#log = log;
    this.#results = meter.counter({
      name: 'countersign_agent_sds_responses_total',
      help: 'Secrets sent to Envoys, by what came back: sent, ack or nack.',
      labels: ['result'],
    });
  }

  sent(): void {
    this.#results.add(1, { result: 'sent' });
  }

  answered(
    about: {
      readonly process: PeerProcess;
      readonly node: EnvoyNode | undefined;
      readonly names: readonly string[];
    },
    error: ErrorDetail | undefined,
  ): void {
    const { process, node, names } = about;
    const fields = { pid: process.pid, node: node?.id, cluster: node?.cluster, names };
    if (error === undefined) {
      this.#results.add(1, { result: 'ack' });
      this.#log.debug(fields, 'secrets taken');
      return;
    }
    this.#results.add(1, { result: 'nack' });
    const reason = (error.message ?? '').slice(0, 1000);
    this.#log.error({ ...fields, code: error.code }, `Envoy refuses the secrets: ${reason}`);
  }
}
