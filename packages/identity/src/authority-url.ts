import { isIP } from 'node:net';
import { CountersignError } from '@countersign/base';

export interface AuthorityAddress {
  /** `https://HOST:PORT`, without a slash at the end. */
  readonly origin: string;
  /** DNS name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly isAddress: boolean;
}

/** @throws CountersignError ERR_IDENTITY_URL */
export function parseAuthorityUrl(text: string): AuthorityAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw wrong(text, 'is not a URL');
  if (url.protocol !== 'https:') throw wrong(text, `has scheme "${url.protocol}", expected https:`);
  if (url.username !== '' || url.password !== '') throw wrong(url.host, 'has a user in it');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw wrong(text, 'has a path, only the origin is expected');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 443 : Number(url.port);
  return { origin: url.origin, host, port, isAddress: isIP(host) !== 0 };
}

function wrong(shown: string, reason: string): CountersignError {
  return new CountersignError('ERR_IDENTITY_URL', `authority "${shown.slice(0, 200)}" ${reason}`);
}
