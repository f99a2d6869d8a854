import { isIP } from 'node:net';
import { CountersignError } from '@countersign/base';

/** Where a tunnel listens, or leads to. */
export type TunnelAddress = HostAddress | { readonly path: string };

export interface HostAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT` (IPv6 in brackets; without a host every address of the machine) or `unix:PATH`.
 *
 * @param flag for the message
 * @throws CountersignError ERR_USAGE
 */
export function parseTunnelAddress(text: string, flag: string): TunnelAddress {
  const fail = (reason: string) => {
    throw new CountersignError('ERR_USAGE', `${flag} "${text}": ${reason}`);
  };
  if (/^(systemd|launchd):/.test(text)) return fail('sockets of systemd and launchd are not done');
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    return path === '' ? fail('expected a path after "unix:"') : { path };
  }
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  if (port === '') return fail('expected HOST:PORT or unix:PATH');
  if (Number(port) > 65_535) return fail('the port is above 65535');
  const plain = host.replace(/^\[(.*)\]$/, '$1');
  if (plain !== host && isIP(plain) !== 6) return fail('in brackets is an IPv6 address');
  if (plain === host && host.includes(':')) return fail('an IPv6 address stands in brackets');
  return { host: plain === '' ? '::' : plain, port: Number(port) };
}

/** Whether only processes of this machine are at the other end. */
export function isLocal(address: TunnelAddress): boolean {
  if ('path' in address) return true;
  const { host } = address;
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
