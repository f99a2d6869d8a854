import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/** Whether only processes of this machine reach the address. */
export function isLoopback(address: string): boolean {
  if (address === 'localhost' || address === '::1') return true;
  // Anybody can have a name that begins so.
  return isIP(address) === 4 && address.startsWith('127.');
}

/**
 * Whether a browser asks, for some page that is open in it: it says so by itself, and where the page's name was made to
 * lead here (DNS rebinding) its host header has that name.
 */
export function isFromBrowser({ headers }: IncomingMessage): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  const { host = '' } = headers;
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name !== '' && !isLoopback(name);
}
