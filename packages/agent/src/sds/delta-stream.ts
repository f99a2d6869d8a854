import type { CallStatus } from '../grpc/grpc-status.ts';
import { refusalOf } from '../serve/refuse-call.ts';
import { isPending } from '../svids/held-identities.ts';
import {
  type DeltaDiscoveryRequest,
  type EnvoyNode,
  sdsMessages,
  secretType,
} from './sds-messages.ts';
import {
  newNonce,
  type SdsStream,
  type SdsStreamOptions,
  tooMany,
  wrongType,
} from './sds-stream.ts';
import { secretsOf } from './secrets-of.ts';

const wildcard = '*';

/** One incremental stream: answers have what changed of what is subscribed to, and what is no more. */
export class DeltaStream implements SdsStream<DeltaDiscoveryRequest> {
  readonly #options: SdsStreamOptions;
  readonly #subscribed = new Set<string>();
  /** What the client has: name and version; undefined for what it was told there is none of. */
  readonly #told = new Map<string, string | undefined>();
  #node: EnvoyNode | undefined;
  #isAsked = false;
  #nonce: string | undefined;

  constructor(options: SdsStreamOptions) {
    this.#options = options;
  }

  asked(request: DeltaDiscoveryRequest): CallStatus | undefined {
    const { resourceNamesSubscribe: more, resourceNamesUnsubscribe: less } = request;
    const wrong =
      wrongType(request.typeUrl) ??
      tooMany([...this.#subscribed, ...more]) ??
      tooMany(Object.keys(request.initialResourceVersions ?? {}));
    if (wrong !== undefined) return wrong;
    this.#node ??= request.node;
    const { responseNonce: nonce } = request;
    if (nonce !== undefined && nonce !== '' && nonce === this.#nonce) {
      const { process, report } = this.#options;
      const about = { process, node: this.#node, names: [...this.#subscribed] };
      report.answered(about, request.errorDetail);
    }
    if (!this.#isAsked) {
      for (const [name, version] of Object.entries(request.initialResourceVersions ?? {})) {
        this.#told.set(name, version);
      }
      // xDS §Wildcard: a first request without names asks for everything.
      if (more.length === 0) this.#subscribed.add(wildcard);
    }
    this.#isAsked = true;
    for (const name of more) {
      this.#subscribed.add(name);
      // Asked for again, it is told again.
      if (this.#told.get(name) === undefined) this.#told.delete(name);
    }
    for (const name of less) {
      this.#subscribed.delete(name);
      this.#told.delete(name);
    }
    return undefined;
  }

  answer(): Uint8Array | CallStatus | undefined {
    const { held, identities } = this.#options;
    if (!this.#isAsked) return undefined;
    const holdings = identities.of(held.entries);
    if (!holdings.ok) {
      return this.#nonce !== undefined || isPending(holdings) ? undefined : refusalOf(holdings);
    }
    const node = this.#node;
    const everything = this.#subscribed.has(wildcard)
      ? secretsOf({ names: undefined, node }, holdings, identities)
      : [];
    const named = new Set([...this.#subscribed].filter((name) => name !== wildcard));
    const found = new Map(
      [...everything, ...secretsOf({ names: named, node }, holdings, identities)].map(
        (secret) => [secret.name, secret] as const,
      ),
    );
    const changed = [...found.values()].filter(
      ({ name, version }) => this.#told.get(name) !== version,
    );
    const gone = [...new Set([...named, ...this.#told.keys()])].filter(
      (name) => !found.has(name) && !(this.#told.has(name) && this.#told.get(name) === undefined),
    );
    if (changed.length === 0 && gone.length === 0) return undefined;
    for (const { name, version } of changed) this.#told.set(name, version);
    for (const name of gone) {
      if (named.has(name)) this.#told.set(name, undefined);
      else this.#told.delete(name);
    }
    this.#nonce = newNonce();
    return sdsMessages.deltaResponse.encode({
      systemVersionInfo: '',
      resources: changed.map(({ name, version, bytes }) => ({
        name,
        version,
        resource: { typeUrl: secretType, value: bytes },
      })),
      typeUrl: secretType,
      nonce: this.#nonce,
      removedResources: gone,
    });
  }
}
