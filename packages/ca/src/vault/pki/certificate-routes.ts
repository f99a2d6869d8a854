import { hash } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';
import {
  certificatesFromPem,
  decodePrivateKey,
  encodePem,
  keySigner,
  parseCertificate,
} from '@countersign/x509';
import type { CertificateRecord } from '../../ledger/ledger.ts';
import type { Caller } from '../../revoke.ts';
import type { PkiMount } from '../mounts.ts';
import type { Handler, VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields } from '../vault-fields.ts';
import { badRequest, missing, refusal, refusedByAuthority } from '../vault-refusal.ts';
import { formatSerial, parseSerial } from './certificate-answer.ts';
import { isOfMount, issuersOf, pemOf } from './mount-issuers.ts';

const revokeFields = {
  serial_number: field.text('', 'Serial number, with ":" or "-".'),
  certificate: field.text('', 'The certificate, instead of its serial number.'),
} as const;

const revokeWithKeyFields = {
  ...revokeFields,
  private_key: field.text('', 'The private key of the certificate, in PEM.'),
} as const;

/** More are not listed. */
const mostListed = 10_000;

/** Of a mount: what it has signed. */
export const certificateRoutes: readonly VaultRoute<PkiMount>[] = [
  {
    path: 'cert/:serial',
    help: 'A certificate by its serial number.',
    open: ['read'],
    on: { read: readCertificate },
  },
  {
    path: 'cert/:serial/raw',
    help: 'The same in DER.',
    open: ['read'],
    on: { read: rawCertificate(false) },
  },
  {
    path: 'cert/:serial/raw/pem',
    help: 'The same in PEM.',
    open: ['read'],
    on: { read: rawCertificate(true) },
  },
  {
    path: 'certs',
    help: 'Serial numbers of certificates, the newest ten thousand.',
    on: { list: listCertificates },
  },
  {
    path: 'certs/revoked',
    help: 'Serial numbers of those that are revoked.',
    on: { list: listRevoked },
  },
  {
    path: 'revoke',
    help: 'Revokes a certificate.',
    fields: revokeFields,
    on: { update: revoke },
  },
  {
    path: 'revoke-with-key',
    help: 'Revokes a certificate, by whoever has its private key.',
    fields: revokeWithKeyFields,
    on: { update: revokeWithKey },
  },
];

async function find(
  context: VaultContext,
  mount: PkiMount,
  serial: string,
): Promise<CertificateRecord | undefined> {
  const serialHex = parseSerial(serial);
  if (serialHex === undefined) return undefined;
  const found = await context.authority.ledger.certificate(serialHex);
  if (found === undefined || !(await isOfMount(context, mount, found))) return undefined;
  return found;
}

async function readCertificate(context: VaultContext, { names }: VaultCall, mount: PkiMount) {
  const found = await find(context, mount, names.serial ?? '');
  if (found === undefined) return await readAuthority(context, mount, names.serial ?? '');
  const { ledger } = context.authority;
  const status = await ledger.certificateStatus(found.serialHex);
  const certificate = pemOf(parseCertificate(found.der));
  const at = status.status === 'revoked' ? status.revocation.at : undefined;
  const issuer = (await issuersOf(context, mount)).find((each) => each.ledgerName === found.issuer);
  const data = {
    certificate,
    ...(at !== undefined && { issuer_id: issuer?.id ?? '' }),
    revocation_time: at === undefined ? 0 : Math.floor(at / 1000),
    revocation_time_rfc3339: at === undefined ? '' : new Date(at).toISOString(),
  };
  return { ok: true, data } as const;
}

/** Authorities of the mount have serial numbers too. */
async function readAuthority(context: VaultContext, mount: PkiMount, serial: string) {
  const wanted = parseSerial(serial);
  const found = (await issuersOf(context, mount)).find(
    (each) => each.certificate.serialHex === wanted,
  );
  if (found === undefined) return missing(`no certificate "${serial.slice(0, 100)}"`);
  const data = {
    certificate: pemOf(found.certificate),
    revocation_time: 0,
    revocation_time_rfc3339: '',
  };
  return { ok: true, data } as const;
}

function rawCertificate(isPem: boolean): Handler<PkiMount> {
  return async function readRaw(context, { names }, mount) {
    const found = await find(context, mount, names.serial ?? '');
    if (found === undefined) return missing(`no certificate "${names.serial?.slice(0, 100)}"`);
    if (!isPem) return { ok: true, raw: found.der, type: 'application/pkix-cert' };
    return {
      ok: true,
      raw: encodePem('CERTIFICATE', found.der),
      type: 'application/pem-certificate-chain',
    };
  };
}

async function ofMount(
  context: VaultContext,
  mount: PkiMount,
): Promise<readonly CertificateRecord[]> {
  const { provisioner } = mount;
  return await context.authority.ledger.findCertificates({ provisioner, limit: mostListed });
}

async function listCertificates(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const keys = (await ofMount(context, mount)).map((each) => formatSerial(each.serialHex));
  return keys.length === 0
    ? missing('there are no certificates')
    : ({ ok: true, data: { keys: keys.toSorted() } } as const);
}

async function listRevoked(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const { ledger } = context.authority;
  const keys: string[] = [];
  for (const { serialHex } of await ofMount(context, mount)) {
    const { status } = await ledger.certificateStatus(serialHex);
    if (status === 'revoked') keys.push(formatSerial(serialHex));
  }
  return keys.length === 0
    ? missing('no certificate is revoked')
    : ({ ok: true, data: { keys: keys.toSorted() } } as const);
}

async function revoke(context: VaultContext, call: VaultCall, mount: PkiMount) {
  const read = readFields(revokeFields, call.body);
  if (!read.ok) return read;
  const serial = serialOf(read.values.serial_number, read.values.certificate);
  if (!serial.ok) return serial;
  const found = await find(context, mount, serial.serial);
  if (found === undefined) return badRequest(`certificate with serial ${serial.serial} not found.`);
  const name = `vault:${call.caller?.token.who ?? ''}`;
  return await revokeFound(context, found, { kind: 'door', name });
}

async function revokeWithKey(context: VaultContext, call: VaultCall, mount: PkiMount) {
  const read = readFields(revokeWithKeyFields, call.body);
  if (!read.ok) return read;
  const serial = serialOf(read.values.serial_number, read.values.certificate);
  if (!serial.ok) return serial;
  const pem = get.text(read.values, 'private_key');
  if (pem === '') return badRequest('"private_key" is empty');
  const found = await find(context, mount, serial.serial);
  if (found === undefined) return badRequest(`certificate with serial ${serial.serial} not found.`);
  const spkiHash = spkiHashOf(pem);
  if (spkiHash !== found.spkiHash) {
    const told = "provided private key does not match certificate's public key";
    return refusal('ERR_VAULT_REQUEST', 400, `1 error occurred:\n\t* ${told}\n\n`);
  }
  return await revokeFound(context, found, { kind: 'key', spkiHash });
}

async function revokeFound(
  { authority, clock }: VaultContext,
  found: CertificateRecord,
  caller: Caller,
) {
  const { ledger } = authority;
  if (found.notAfter < clock.now()) {
    const at = new Date(found.notAfter).toISOString();
    return badRequest(
      `certificate with serial ${formatSerial(found.serialHex)} already expired at ${at}`,
    );
  }
  const before = await ledger.certificateStatus(found.serialHex);
  if (before.status !== 'revoked') {
    const order = {
      by: 'serial',
      value: found.serialHex,
      reason: 'unspecified',
      waitMs: 0,
    } as const;
    const answer = await authority.revoke(order, caller);
    if (!answer.ok) return refusedByAuthority(answer);
  }
  const status = await ledger.certificateStatus(found.serialHex);
  const at = status.status === 'revoked' ? status.revocation.at : clock.now();
  const data = {
    revocation_time: Math.floor(at / 1000),
    revocation_time_rfc3339: new Date(at).toISOString(),
    state: 'revoked',
  };
  return { ok: true, data } as const;
}

function serialOf(serial: unknown, certificate: unknown) {
  if (serial !== '' && certificate !== '') {
    return badRequest('Must provide either the certificate or the serial to revoke; not both.');
  }
  if (serial !== '') return { ok: true, serial: String(serial).slice(0, 200) } as const;
  if (certificate === '')
    return badRequest('The serial number or certificate to revoke must be provided.');
  try {
    const [first] = certificatesFromPem(String(certificate));
    return { ok: true, serial: formatSerial(first?.serialHex ?? '') } as const;
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return badRequest(`certificate could not be parsed: ${messageOf(thrown).slice(0, 200)}`);
  }
}

/** Undefined where it is no private key; nothing of it is told. */
function spkiHashOf(pem: string): string | undefined {
  try {
    return hash('sha256', keySigner(decodePrivateKey(pem)).spki.raw);
  } catch {
    // What stands there is nobody's business.
    return undefined;
  }
}
