import type { Certificate } from '@countersign/x509';
import type { ChannelBinding } from './channel-binding.ts';

/** A request from whatever read its head. */
export interface EstHttp {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly from: string;
  /** What the TLS client has shown, leaf first; the handshake proved its key, nobody its issuer. */
  readonly shown: () => readonly Certificate[];
  /** Aborted where the client has left. */
  readonly left?: () => AbortSignal;
  readonly binding: () => ChannelBinding | undefined;
  /** Whole, within the limit. */
  readonly body: (maxBytes: number) => Promise<Uint8Array>;
}

export interface EstReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function header({ headers }: Pick<EstHttp, 'headers'>, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}
