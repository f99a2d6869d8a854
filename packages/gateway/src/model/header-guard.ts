import { isIdentityHeader } from '@countersign/wire';
import { isOfHop } from '../forwarded-headers.ts';

/**
 * Why a header of this name is nobody's to write but the gateway's own, as the end of a sentence; undefined: it may be
 * written. So is what a file says, what an external authorizer answers and what a token's claims are told in: none of
 * it may pass for what the handshake proved, or change where a message ends.
 */
export function wrongWithHeaderName(
  name: string,
  identity?: 'may name a caller',
): string | undefined {
  // RFC 9110 §5.1
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$/.test(name)) {
    return name.startsWith(':') ? 'is a pseudo-header, which routes decide' : 'is no header name';
  }
  const dashed = name.toLowerCase().replaceAll('_', '-');
  if (dashed === 'host') return 'is the host, which a rewrite of the authority is for';
  if (isOfHop(dashed)) return 'frames messages, or is of one connection alone';
  if (identity === undefined && isIdentityHeader(dashed))
    return 'says who a caller is, which only the handshake does';
  return undefined;
}

/** The same of a value: RFC 9110 §5.5, octets beyond ASCII as one character each. */
export function wrongWithHeaderValue(value: string): string | undefined {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    return 'has a line break or another character that no header can have';
  }
  return value.length > 16_384 ? 'has more than 16384 characters' : undefined;
}
