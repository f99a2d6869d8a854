import type { Certificate } from '@countersign/x509';

/** A request from whatever read its head. */
export interface StepHttp {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly from: string;
  /** What the TLS client has shown, leaf first; the handshake proved its key, nobody its issuer. */
  readonly shown: () => readonly Certificate[];
  /** Aborted where the client has left. */
  readonly left?: () => AbortSignal;
  /** Whole, within the limit. */
  readonly body: (maxBytes: number) => Promise<Uint8Array>;
}

export interface StepReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function jsonReply(status: number, value: unknown, headers = {}): StepReply {
  const own = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' };
  return { status, headers: { ...own, ...headers }, body: JSON.stringify(value) };
}
