import type { AcmeConfig } from './acme-config.ts';
import type { Account } from './acme-objects.ts';
import type { AcmeProblem } from './acme-problem.ts';
import type { AcmeResource, AcmeResources } from './acme-resources.ts';
import type { AccountKey, Jws } from './jose.ts';

/** A request whose signature is proved and whose nonce is spent. */
export interface AcmeRequest {
  readonly links: AcmeLinks;
  /** What the path names, in its order. */
  readonly names: readonly string[];
  /** Parsed; undefined: POST-as-GET (RFC 8555 §6.3). */
  readonly payload: Readonly<Record<string, unknown>> | undefined;
  readonly jws: Jws;
  /** Who signed: an account by its address, or a key by itself. */
  readonly signer:
    | { readonly kind: 'account'; readonly account: Account }
    | { readonly kind: 'key'; readonly key: AccountKey };
  /** Network address. */
  readonly from: string;
}

export interface AcmeAnswer {
  readonly ok: true;
  readonly status: number;
  /** JSON, or text of its own type. */
  readonly body?: object | { readonly type: string; readonly text: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** Values of `Link` beside the directory's. */
  readonly link?: readonly string[];
}

/** Addresses of resources, as the client that asks sees them. */
export class AcmeLinks {
  readonly #base: string;
  readonly #directory: string;
  readonly #resources: AcmeResources;

  /** @param origin `https://` and the host */
  constructor(
    origin: string,
    { path, directory, resources }: Pick<AcmeConfig, 'path' | 'directory' | 'resources'>,
  ) {
    this.#base = `${origin}${path}`;
    this.#directory = directory;
    this.#resources = resources;
  }

  get directory(): string {
    return `${this.#base}${this.#directory}`;
  }
  account(id: string): string {
    return this.of('account', id);
  }
  orders(account: string, after?: string): string {
    const page = after === undefined ? '' : `?cursor=${after}`;
    return `${this.of('orders', account)}${page}`;
  }
  order(id: string): string {
    return this.of('order', id);
  }
  finalize(id: string): string {
    return this.of('finalize', id);
  }
  authorization(id: string): string {
    return this.of('authorization', id);
  }
  challenge(authorization: string, type: string): string {
    return this.of('challenge', authorization, type);
  }
  certificate(serialHex: string, alternate = 0): string {
    if (alternate === 0) return this.of('certificate', serialHex);
    return this.of('alternate', serialHex, String(alternate));
  }
  /** With its names; without them, where they begin. */
  of(resource: AcmeResource, ...names: readonly string[]): string {
    const [first = '', ...rest] = this.#resources[resource].split('{}');
    return `${this.#base}${first}${rest.map((part, i) => `${names[i] ?? ''}${part}`).join('')}`;
  }
}

export type AcmeHandler<C> = (
  context: C,
  request: AcmeRequest,
) => Promise<AcmeAnswer | AcmeProblem> | AcmeAnswer | AcmeProblem;
