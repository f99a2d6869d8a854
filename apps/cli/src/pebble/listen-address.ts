import { isIP } from 'node:net';
import { CountersignError } from '@countersign/base';

/**
 * `host:port` as Go has it: no host means every address, an address of IPv6 stands in brackets.
 *
 * @throws CountersignError ERR_USAGE
 */
export function parseListenAddress(
  written: string,
  what: string,
): { readonly host: string | undefined; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(written);
  const [, bracketed, plain, digits] = match ?? [];
  const isWrong =
    match === null || Number(digits) > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6);
  if (isWrong) {
    const form = 'expected host:port, such as 127.0.0.1:14000 or [::1]:14000';
    throw new CountersignError('ERR_USAGE', `${what}: ${form}, found "${written}"`);
  }
  return { host: bracketed ?? (plain || undefined), port: Number(digits) };
}

/** Of every address there are two spellings, and both mean IPv6 too where there is any. */
export function isEveryAddress(host: string | undefined): boolean {
  return host === undefined || host === '0.0.0.0' || host === '::';
}
