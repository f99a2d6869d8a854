import { hash, randomBytes } from 'node:crypto';
import { type Clock, CountersignError, messageOf } from '@countersign/base';
import { type AlpnAnswer, serveAcmeAlpn } from '@countersign/mtls';
import {
  buildName,
  extension,
  type GeneralName,
  generateKeyPair,
  keySigner,
  parseIpAddress,
  signCertificate,
} from '@countersign/x509';
import type { AcmeProof, Challenge, ShownProof } from './acme-proof.ts';

/** RFC 8737 §3: id-pe-acmeIdentifier. */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31';
const hour = 3_600_000;

/** What is there to do where the port of a proof cannot be had. */
export const freePortHint =
  'free the port, or give another one as `port` of the challenge, to which its own is led';

/** RFC 8737 §3: a certificate a name, by a key that is forgotten with it. */
export async function showByTls(
  { port = 443, address }: Extract<AcmeProof, { method: 'tls-alpn-01' }>,
  challenges: readonly Challenge[],
  clock: Clock,
): Promise<ShownProof> {
  const answers = await Promise.all(challenges.map((each) => answerTo(each, clock.now())));
  try {
    return { stop: await serveAcmeAlpn({ answers, port, address }) };
  } catch (thrown) {
    const message = `listen on port ${port} for tls-alpn-01: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_CONFIG', message, { cause: thrown, hint: freePortHint });
  }
}

async function answerTo({ name, keyAuthorization }: Challenge, now: number): Promise<AlpnAnswer> {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const signer = keySigner(privateKey);
  const own = buildName([{ type: 'CN', value: 'ACME challenge' }]);
  const bytes = parseIpAddress(name);
  const named: GeneralName =
    bytes === undefined ? { kind: 'dns', value: name } : { kind: 'ip', bytes };
  const digest = hash('sha256', keyAuthorization, 'buffer');
  const certificate = await signCertificate(
    {
      serial: Uint8Array.of(1, ...randomBytes(15)),
      ...{ issuer: own, subject: own, notBefore: now - hour, notAfter: now + hour },
      spki: signer.spki,
      extensions: [
        extension.subjectAltName([named]),
        // An OCTET STRING of 32 octets.
        { oid: acmeIdentifier, critical: true, value: Uint8Array.of(4, 32, ...digest) },
      ],
    },
    signer,
  );
  return { serverName: serverNameOf(name, bytes), certificate, privateKey };
}

/** RFC 8738 §6: an address is asked for by its name for reverse look-ups (RFC 1034 §5.2.1, RFC 3596 §2.5). */
function serverNameOf(name: string, bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return name;
  if (bytes.byteLength === 4) return `${[...bytes].reverse().join('.')}.in-addr.arpa`;
  return `${[...Buffer.from(bytes).toString('hex')].reverse().join('.')}.ip6.arpa`;
}
