import type { Account } from './acme-objects.ts';
import type { AcmeProblem } from './acme-problem.ts';
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
  readonly base: string;
  readonly #directory: string;

  constructor(base: string, directory: string) {
    this.base = base;
    this.#directory = directory;
  }

  get directory(): string {
    return `${this.base}${this.#directory}`;
  }
  account(id: string): string {
    return `${this.base}/account/${id}`;
  }
  orders(account: string, after?: string): string {
    const page = after === undefined ? '' : `?cursor=${after}`;
    return `${this.account(account)}/orders${page}`;
  }
  order(id: string): string {
    return `${this.base}/order/${id}`;
  }
  finalize(id: string): string {
    return `${this.order(id)}/finalize`;
  }
  authorization(id: string): string {
    return `${this.base}/authorization/${id}`;
  }
  challenge(authorization: string, type: string): string {
    return `${this.base}/challenge/${authorization}/${type}`;
  }
  certificate(serialHex: string, alternate = 0): string {
    return `${this.base}/certificate/${serialHex}${alternate === 0 ? '' : `/${alternate}`}`;
  }
  of(resource: string): string {
    return `${this.base}/${resource}`;
  }
}

export type AcmeHandler<C> = (
  context: C,
  request: AcmeRequest,
) => Promise<AcmeAnswer | AcmeProblem> | AcmeAnswer | AcmeProblem;
