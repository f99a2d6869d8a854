import type { IncomingMessage } from 'node:http';

/** Whether only processes of this machine reach the address. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address.startsWith('127.');
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
