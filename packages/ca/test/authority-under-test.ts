import assert from 'node:assert/strict';
import {
  type Clock,
  type Denial,
  type Fields,
  type Log,
  type Meter,
  systemClock,
} from '@countersign/base';
import { staticBundles, type VerifiedPeer, verifyPeer } from '@countersign/spiffe';
import {
  buildCertificateRequest,
  type Certificate,
  type Extension,
  extension,
  type GeneralName,
  generateKeyPair,
  type KeyKind,
  keySigner,
  type Name,
  parseCertificate,
  type Signer,
} from '@countersign/x509';
import { type Authority, ephemeralAuthority, type Issued, parseCaConfig } from '../src/index.ts';

/** The hierarchy of most tests: two intermediates, the first of which is constrained. */
export const exampleYaml = `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: "87600h", storage: file, pathLenConstraint: 1 }
  intermediate:
    production:
      algorithm: ECDSA
      curve: P-256
      validity: "43800h"
      pathLenConstraint: 0
      nameConstraints:
        permitted: [".prod.internal"]
        excluded: [".secret.prod.internal"]
    rest: { algorithm: ECDSA, curve: P-256, validity: "8760h" }
service_certificates:
  algorithm: ECDSA
  curve: P-256
  validity: "24h"
  max_validity: "72h"
  required_extensions:
    - keyUsage: [digitalSignature, keyEncipherment]
    - extKeyUsage: [serverAuth, clientAuth]
  san_policies:
    require_spiffe: true
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["*.prod.internal", "*.secret.prod.internal", "*.lab.internal"]
    allow_ip_san: false
api:
  admins: [spiffe://example.com/ns/ops/sa/admin]
  gateways: ["spiffe://example.com/ns/edge/*"]
`;

export const payments = 'spiffe://example.com/ns/prod/sa/payments';

export async function testAuthority(
  options: {
    readonly yaml?: string;
    readonly clock?: Clock;
    readonly log?: Log;
    readonly meter?: Meter;
  } = {},
): Promise<Authority> {
  const { yaml = exampleYaml, clock = systemClock, log, meter } = options;
  const config = parseCaConfig(yaml, 'ca.yaml');
  return await ephemeralAuthority({ config, clock, log, meter });
}

export interface RequestOptions {
  readonly key?: KeyKind;
  readonly names?: readonly GeneralName[];
  readonly extensions?: readonly Extension[];
  readonly subject?: Name;
  /** Instead of a new key. */
  readonly signer?: Signer;
}

/** DER of a request with a key of its own. */
export async function request(options: RequestOptions = {}): Promise<Uint8Array> {
  const { key = { type: 'EC', curve: 'P-256' }, names = [], extensions = [], subject } = options;
  const signer = options.signer ?? keySigner((await generateKeyPair(key)).privateKey);
  return await buildCertificateRequest({
    signer,
    ...(subject === undefined ? {} : { subject }),
    extensions: [...(names.length > 0 ? [extension.subjectAltName(names)] : []), ...extensions],
  });
}

export function issuedOf(outcome: Issued | Denial): Issued {
  assert.ok(outcome.ok, outcome.ok ? '' : `${outcome.code}: ${outcome.detail}`);
  return outcome;
}

export function leafOf(outcome: Issued | Denial): Certificate {
  return parseCertificate(issuedOf(outcome).chain[0]);
}

export function refused(
  outcome: { readonly ok: true } | Denial,
  code: string,
  detail?: RegExp,
): void {
  assert.ok(!outcome.ok, 'it was not refused');
  assert.equal(outcome.code, code, outcome.detail);
  if (detail !== undefined) assert.match(outcome.detail, detail);
}

/** The holder of a certificate, as a handshake with the authority proves it. */
export function peerOf(authority: Authority, issued: Issued, at = Date.now()): VerifiedPeer {
  const verified = verifyPeer({
    chain: issued.chain.map((der) => parseCertificate(der)),
    bundles: staticBundles(authority.bundle()),
    at,
    purpose: 'client',
  });
  assert.ok(verified.ok, verified.ok ? '' : verified.detail);
  return verified.peer;
}

export interface LogLine {
  readonly level: string;
  readonly fields: Fields;
  readonly message: string;
}

export function recordingLog(lines: LogLine[]): Log {
  const at = (level: string) => (fields: Fields, message: string) => {
    lines.push({ level, fields, message });
  };
  const log: Log = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return log;
}
