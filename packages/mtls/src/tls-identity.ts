import { createHash } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { CountersignError, messageOf } from '@countersign/base';
import type { BundleSource, TrustBundle } from '@countersign/spiffe';
import { type Certificate, encodePem, fingerprintOf } from '@countersign/x509';
import { describeIdentity, type TlsIdentity } from './tls-certificate.ts';
import { type TlsSuites, type TlsVersion, tlsPolicy } from './tls-policy.ts';

/**
 * The options of a TLS context that presents `svid`. They hold the private key as PEM text (Node takes no key object
 * here): hand them to Node at once and keep them nowhere.
 */
export function contextOptions(
  svid: TlsIdentity,
  minVersion?: TlsVersion,
  suites?: TlsSuites,
): SecureContextOptions {
  return {
    ...tlsPolicy(minVersion, suites),
    cert: svid.chain.map((certificate) => encodePem('CERTIFICATE', certificate.raw)).join(''),
    key: svid.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/**
 * The TLS context of a dialling client, built once for each SVID value.
 *
 * @throws CountersignError ERR_TLS_CONTEXT
 */
export function clientContext(svid: TlsIdentity, minVersion?: TlsVersion): SecureContext {
  const known = contexts.get(svid);
  if (known !== undefined && known.minVersion === minVersion) return known.context;
  const context = provenContext(contextOptions(svid, minVersion), svid);
  contexts.set(svid, { minVersion, context });
  return context;
}

/** A client context for a dialer that presents no certificate, as the first enrolment does. */
export function anonymousContext(minVersion: TlsVersion = 'TLSv1.2'): SecureContext {
  const known = anonymousContexts.get(minVersion);
  if (known !== undefined) return known;
  const context = createSecureContext(tlsPolicy(minVersion));
  anonymousContexts.set(minVersion, context);
  return context;
}

/** @throws CountersignError ERR_TLS_CONTEXT */
export function provenContext(options: SecureContextOptions, svid: TlsIdentity): SecureContext {
  try {
    return createSecureContext(options);
  } catch (thrown) {
    throw new CountersignError(
      'ERR_TLS_CONTEXT',
      `TLS context of "${describeIdentity(svid)}": ${messageOf(thrown)}`,
      { fields: { spiffeId: svid.spiffeId?.toString() }, cause: thrown },
    );
  }
}

/**
 * Binds session tickets to one listener and the client CAs of its own trust domain: at most 32 octets, as OpenSSL
 * allows. A session from elsewhere is not resumed.
 */
export function sessionIdContext(name: string, svid: TlsIdentity, bundles: BundleSource): string {
  const clientCas = clientCasOf(svid, bundles);
  const anchors =
    clientCas === undefined ? [] : 'authorities' in clientCas ? clientCas.authorities : clientCas;
  const hash = createHash('sha256').update(`${name}\n${svid.spiffeId?.trustDomain ?? ''}\n`);
  for (const print of anchors.map(fingerprintOf).sort()) hash.update(print);
  return hash.digest('hex').slice(0, 32);
}

/** Of its own trust domain, or of whoever vouches for other names; the same value for as long as nothing changes. */
export function clientCasOf(
  { spiffeId }: TlsIdentity,
  bundles: BundleSource,
): TrustBundle | readonly Certificate[] | undefined {
  return spiffeId === undefined ? bundles.authorities?.() : bundles.bundle(spiffeId.trustDomain);
}

const contexts = new WeakMap<
  TlsIdentity,
  { minVersion: TlsVersion | undefined; context: SecureContext }
>();

const anonymousContexts = new Map<TlsVersion, SecureContext>();
