import { hash } from 'node:crypto';
import type { CallStatus } from '../grpc/grpc-status.ts';
import { refusalOf } from '../serve/refuse-call.ts';
import { isPending } from '../svids/held-identities.ts';
import { type DiscoveryRequest, type EnvoyNode, sdsMessages, secretType } from './sds-messages.ts';
import {
  missingOf,
  newNonce,
  type SdsStream,
  type SdsStreamOptions,
  tooMany,
  wrongType,
} from './sds-stream.ts';
import { secretsOf } from './secrets-of.ts';

/** One stream of the state of the world: every answer has all secrets that were asked for. */
export class SotwStream implements SdsStream<DiscoveryRequest> {
  readonly #options: SdsStreamOptions;
  #node: EnvoyNode | undefined;
  #names: readonly string[] | undefined;
  #nonce: string | undefined;
  /** What was sent last, whether or not it was taken: what was refused is not sent again. */
  #sent: string | undefined;

  constructor(options: SdsStreamOptions) {
    this.#options = options;
  }

  asked(request: DiscoveryRequest): CallStatus | undefined {
    const { resourceNames, responseNonce, errorDetail } = request;
    const wrong = wrongType(request.typeUrl) ?? tooMany(resourceNames);
    if (wrong !== undefined) return wrong;
    this.#node ??= request.node;
    // xDS §ACK/NACK: a request about an older answer is stale, its names included.
    if (this.#nonce !== undefined && responseNonce !== '' && responseNonce !== undefined) {
      if (responseNonce !== this.#nonce) return undefined;
      const { process, report } = this.#options;
      const about = { process, node: this.#node, names: this.#names ?? [] };
      report.answered(about, errorDetail);
    }
    this.#names = resourceNames;
    return undefined;
  }

  answer(): Uint8Array | CallStatus | undefined {
    const { held, identities } = this.#options;
    if (this.#names === undefined) return undefined;
    const holdings = identities.of(held.entries);
    if (!holdings.ok) {
      return this.#sent !== undefined || isPending(holdings) ? undefined : refusalOf(holdings);
    }
    const names = this.#names.length === 0 ? undefined : new Set(this.#names);
    const secrets = secretsOf({ names, node: this.#node }, holdings, identities);
    const missing = missingOf(names ?? [], secrets);
    if (missing !== undefined) return missing;
    const content = secrets.map(({ name, version }) => `${name} ${version}`).join('\n');
    if (content === this.#sent) return undefined;
    this.#sent = content;
    this.#nonce = newNonce();
    return sdsMessages.response.encode({
      versionInfo: hash('sha256', content).slice(0, 16),
      resources: secrets.map(({ bytes }) => ({ typeUrl: secretType, value: bytes })),
      typeUrl: secretType,
      nonce: this.#nonce,
    });
  }
}
