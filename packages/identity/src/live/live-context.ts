import { createSecureContext, type SecureContext } from 'node:tls';
import { CountersignError, messageOf } from '@countersign/base';
import { contextOptions, type TlsVersion } from '@countersign/mtls';
import type { X509Svid } from '@countersign/spiffe';
import { type Certificate, encodePem } from '@countersign/x509';
import type { LiveSource } from './live-source.ts';

/**
 * A TLS context that is always the newest. Node reads `context` of it at each handshake, so that whoever holds it, or a
 * copy of options that name it, presents the identity of that moment. It trusts the authorities of the identity and no
 * others.
 *
 * Node documents no such object: `live-context.test.ts` holds every version of Node that it runs on to it.
 */
export function liveContext(source: LiveSource, minVersion?: TlsVersion): SecureContext {
  let made:
    | { svid: X509Svid; authorities: readonly Certificate[]; context: SecureContext }
    | undefined;
  const current = (): SecureContext => {
    const svid = source.svid();
    const authorities = authoritiesOf(source, svid);
    if (made?.svid === svid && made.authorities === authorities) return made.context;
    made = { svid, authorities, context: contextOf(svid, authorities, minVersion) };
    return made.context;
  };
  // What cannot be used is found out when it is made, not at the first connection.
  const kind: object = Object.getPrototypeOf(current());
  return Object.create(kind, {
    context: { enumerable: true, get: () => current().context },
  }) as SecureContext;
}

function authoritiesOf(source: LiveSource, svid: X509Svid): readonly Certificate[] {
  const own = source.bundle(svid.spiffeId.trustDomain)?.authorities ?? [];
  return source.authorities?.() ?? own;
}

/** @throws CountersignError ERR_TLS_CONTEXT */
function contextOf(
  svid: X509Svid,
  authorities: readonly Certificate[],
  minVersion: TlsVersion | undefined,
): SecureContext {
  try {
    return createSecureContext({
      ...contextOptions(svid, minVersion),
      ca: authorities.map((each) => encodePem('CERTIFICATE', each.raw)),
    });
  } catch (thrown) {
    const message = `TLS context of "${svid.spiffeId}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_TLS_CONTEXT', message, { cause: thrown });
  }
}
