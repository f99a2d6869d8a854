import type { IncomingMessage, ServerResponse } from 'node:http';
import { fromHex } from '@countersign/base';
import type { Certificate } from '@countersign/x509';

/** What the management interface lets renewalInfo (RFC 9773) answer in the place of the truth. */
export class RenewalInfoOverrides {
  readonly #texts = new Map<string, string>();

  set({ authorityKeyId, serialHex }: Certificate, text: string): void {
    const parts = [
      authorityKeyId?.keyId ?? new Uint8Array(),
      fromHex(serialHex) ?? new Uint8Array(),
    ];
    const id = parts.map((each) => Buffer.from(each).toString('base64url')).join('.');
    this.#texts.set(id, text);
  }

  /** Whether it has answered. */
  answer({ method, url = '' }: IncomingMessage, response: ServerResponse): boolean {
    const text = method === 'GET' ? this.#texts.get(url.split('/').at(-1) ?? '') : undefined;
    if (text === undefined) return false;
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'retry-after': '21600',
    });
    response.end(text);
    return true;
  }
}
