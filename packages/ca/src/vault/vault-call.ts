import type { Secret } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { VaultContext } from './vault-context.ts';
import type { FieldTable, Values } from './vault-fields.ts';
import type { TokenRecord } from './vault-objects.ts';
import type { VaultRefusal } from './vault-refusal.ts';

export type Operation = 'read' | 'list' | 'update' | 'patch' | 'delete';

/** Whoever shows a token that is good. */
export interface VaultCaller {
  readonly token: TokenRecord;
  /** As it was shown. */
  readonly secret: Secret<string>;
  readonly isRoot: boolean;
}

/** One request, routed; whether it may be asked was judged before. */
export interface VaultCall {
  readonly operation: Operation;
  /** Below `/v1/`, without a slash at its end. */
  readonly path: string;
  /** What the path names. */
  readonly names: Readonly<Record<string, string>>;
  readonly body: Values;
  readonly query: URLSearchParams;
  /** Undefined where the route is open to everybody. */
  readonly caller: VaultCaller | undefined;
  /** Network address. */
  readonly from: string;
  /** What the TLS client has shown, leaf first; the handshake proved its key, nobody its issuer. */
  readonly shown: () => readonly Certificate[];
  /** Aborted where the client has left. */
  readonly left?: (() => AbortSignal) | undefined;
  readonly origin: string;
}

export type VaultAnswer =
  | {
      readonly ok: true;
      readonly data?: Values | null | undefined;
      readonly auth?: Values | undefined;
      readonly warnings?: readonly string[] | undefined;
      readonly lease?: { readonly id: string; readonly seconds: number } | undefined;
      readonly status?: number | undefined;
      /** `data` once more at the top level, as old clients read it. */
      readonly isFlat?: boolean | undefined;
    }
  /** Neither envelope nor anything. */
  | { readonly ok: true; readonly plain: Values; readonly status?: number | undefined }
  | { readonly ok: true; readonly raw: Uint8Array | string; readonly type: string }
  | { readonly ok: true; readonly status: 204 };

/** A call to a mount comes with the mount. */
export type Handler<M = undefined> = (
  context: VaultContext,
  call: VaultCall,
  mount: M,
) => Promise<VaultAnswer | VaultRefusal> | VaultAnswer | VaultRefusal;

export interface VaultRoute<M = undefined> {
  /** Segments; `:name` takes one, `*name` all that follow. */
  readonly path: string;
  readonly help: string;
  readonly on: Readonly<Partial<Record<Operation, Handler<M>>>>;
  /** For path help. */
  readonly fields?: FieldTable;
  /** Operations that need no token. */
  readonly open?: readonly Operation[] | undefined;
  /** Operations that need the capability `sudo` beside their own. */
  readonly sudo?: readonly Operation[] | undefined;
  /** For every token: what it answers follows from the token's own policies. */
  readonly free?: boolean | undefined;
  /** A write of what is not there needs `create`, and `update` will do as well. */
  readonly creates?: boolean | undefined;
}

export const done: VaultAnswer = { ok: true, status: 204 };
