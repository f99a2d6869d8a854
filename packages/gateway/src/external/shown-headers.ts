import type { AuthzQuestion } from '@countersign/authz';
import { isAnonymous } from '@countersign/mtls';
import { isIdentityHeader } from '@countersign/wire';
import { isOfHop } from '../forwarded-headers.ts';
import { identityHeadersOf } from '../session.ts';

/**
 * What an authorizer is shown of a request's headers, names and values alternating. What a caller says of its identity is
 * not passed on; the handshake says it.
 *
 * @param by our own name
 */
export function shownHeaders(
  { peer, request }: AuthzQuestion,
  isChosen: (lowercase: string) => boolean,
  by: string | undefined,
): string[] {
  const raw = request?.rawHeaders ?? [];
  const headers: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const header = raw[i]?.toLowerCase() ?? '';
    const dashed = header.replaceAll('_', '-');
    if (isOfHop(dashed) || dashed === 'expect' || isIdentityHeader(header)) continue;
    if (isChosen(header)) headers.push(header, raw[i + 1] ?? '');
  }
  return isAnonymous(peer) ? headers : [...headers, ...identityHeadersOf(peer, by)];
}
