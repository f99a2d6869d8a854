import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { Secret } from '@countersign/base';
import {
  assembleCertificate,
  buildName,
  type Certificate,
  certificateLimits,
  cmsOids,
  DerReader,
  der,
  encodeExtensions,
  encodePem,
  encodePrivateKey,
  extension,
  type GeneralName,
  generateKeyPair,
  type KeyKind,
  keyIdOf,
  keySigner,
  type Name,
  oids,
  parseCertificate,
  type Signer,
  signCertificate,
} from '@countersign/x509';
import { hashPassword } from '../src/est/password-hash.ts';
import type { QueueLimits } from '../src/serve/issue-queue.ts';
import { type TestApi, testApi } from './api-under-test.ts';
import { testAuthority } from './authority-under-test.ts';

export const password = 'correct horse: battery';

const yaml = (at: string) => `
ca:
  root: { curve: P-256, validity: 87600h }
  intermediate:
    services: { curve: P-256, validity: 8760h }
    devices: { curve: P-384, validity: 8760h }
service_certificates:
  validity: 24h
  max_validity: 72h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.example.test']
    allow_ip_san: true
policy:
  rules:
    - { name: no gold, provisioners: [partners], deny: ['dns:gold.example.test'] }
est:
  server_keygen: true
  users:
    - { name: alice, password_file: ${at}/alice }
    - { name: bob, password_file: ${at}/alice, provisioner: partners, labels: [partners] }
    - { name: broken, password_file: ${at}/none }
  devices:
    - name: meters
      roots_file: ${at}/meters.pem
      subject: { O: 'Meter*' }
      names: ['{serialNumber}.meters.example.test']
      spiffe_id: 'spiffe://example.com/meters/{serialNumber}'
      provisioner: meters
  labels:
    partners: {}
    meters: { intermediate: devices, lifetime: 48h }
  decrypt_keys: { meter-7: ${at}/meter-7.key }
  limits: { failed_logins: 4, failed_login_every: 1h, requests_per_hour: 40 }
`;

export interface EstAsked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Made once the connection stands. */
  readonly csr?: (socket: TLSSocket) => Promise<Uint8Array> | Uint8Array;
  readonly user?: string;
  readonly tls?: ConnectionOptions;
  readonly isChunked?: boolean;
}

export interface EstAnswered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** What is in a certs-only message. */
  readonly certificates: () => readonly Certificate[];
}

/** An authority served with EST, and clients of it. */
export class EstWorld {
  readonly api: TestApi;
  readonly directory: string;
  readonly maker: Maker;

  private constructor(api: TestApi, directory: string, maker: Maker) {
    this.api = api;
    this.directory = directory;
    this.maker = maker;
  }

  static async start(
    change: (yaml: string) => string = (text) => text,
    queue?: QueueLimits,
  ): Promise<EstWorld> {
    const directory = mkdtempSync(join(tmpdir(), 'countersign-est-'));
    const maker = await Maker.make();
    writeFileSync(join(directory, 'alice'), `${await hashPassword(new Secret(password), 14)}\n`);
    writeFileSync(join(directory, 'meters.pem'), encodePem('CERTIFICATE', maker.root.raw));
    writeFileSync(join(directory, 'meter-7.key'), '07'.repeat(32));
    const authority = await testAuthority({ yaml: change(yaml(directory)) });
    return new EstWorld(await testApi({ authority, ...(queue && { queue }) }), directory, maker);
  }

  async close(): Promise<void> {
    await this.api.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** As alice, unless `user` is empty or another. */
  async ask(operation: string, asked: EstAsked = {}): Promise<EstAnswered> {
    const { user = 'alice', csr, body, isChunked = false } = asked;
    const socket = connect({
      ...{ host: '127.0.0.1', port: this.api.server.port, servername: 'localhost' },
      ...{ ca: encodePem('CERTIFICATE', this.api.authority.root.raw) },
      checkServerIdentity: () => undefined,
      ...asked.tls,
    });
    await once(socket, 'secureConnect');
    const sent = csr === undefined ? body : inLines(await csr(socket));
    const { method = sent === undefined ? 'GET' : 'POST' } = asked;
    const request = httpRequest({
      method,
      path: `/.well-known/est/${operation}`,
      headers: {
        host: 'localhost',
        ...(sent !== undefined && { 'content-type': 'application/pkcs10' }),
        ...(sent !== undefined && !isChunked && { 'content-length': Buffer.byteLength(sent) }),
        ...(user !== '' && { authorization: basic(user, password) }),
        ...asked.headers,
      },
      createConnection: () => socket,
    });
    if (isChunked && sent !== undefined) {
      const half = Math.floor(sent.length / 2);
      request.write(sent.slice(0, half));
      request.end(sent.slice(half));
    } else request.end(sent);
    const [response] = await once(request, 'response');
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part);
    socket.destroy();
    const text = Buffer.concat(parts).toString();
    const { statusCode: status, headers } = response;
    return { status, headers, text, certificates: () => certificatesOf(text) };
  }

  async must(operation: string, asked: EstAsked = {}): Promise<EstAnswered> {
    const answer = await this.ask(operation, asked);
    assert.equal(answer.status, 200, answer.text);
    return answer;
  }

  async refused(
    status: number,
    says: RegExp,
    operation: string,
    asked: EstAsked = {},
  ): Promise<EstAnswered> {
    const answer = await this.ask(operation, asked);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.text, says);
    return answer;
  }

  record(serialHex: string) {
    return this.api.authority.ledger.certificate(serialHex);
  }
}

/** Whoever makes devices, and certifies them. */
export class Maker {
  readonly root: Certificate;
  readonly #signer: Signer;

  private constructor(root: Certificate, signer: Signer) {
    this.root = root;
    this.#signer = signer;
  }

  static async make(): Promise<Maker> {
    const signer = await newSigner();
    const name = buildName([{ type: 'CN', value: 'Meter Maker Root' }]);
    const extensions = [
      extension.basicConstraints({ ca: true }),
      extension.keyUsage(['keyCertSign']),
      extension.subjectKeyId(keyIdOf(signer.spki)),
    ];
    const raw = await certified(name, name, signer, signer, extensions);
    return new Maker(parseCertificate(raw), signer);
  }

  /** TLS options of a device with such a subject. */
  async device(subject: Parameters<typeof buildName>[0], key?: KeyKind) {
    const { privateKey } = await generateKeyPair(key ?? { type: 'EC', curve: 'P-256' });
    const name = buildName(subject);
    const signer = keySigner(privateKey);
    const extensions = [
      extension.keyUsage(['digitalSignature', 'keyEncipherment']),
      extension.subjectKeyId(keyIdOf(signer.spki)),
      extension.authorityKeyId(keyIdOf(this.root.spki)),
    ];
    const raw = await certified(name, this.root.subject, signer, this.#signer, extensions);
    return { key: encodePrivateKey(privateKey), cert: encodePem('CERTIFICATE', raw) };
  }
}

async function certified(
  subject: Name,
  issuer: Name,
  of: Signer,
  by: Signer,
  extensions: Parameters<typeof encodeExtensions>[0],
): Promise<Uint8Array> {
  const serial = Uint8Array.of(1, ...of.spki.bits.subarray(-8));
  const dates = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  return signCertificate({ ...dates, serial, issuer, subject, spki: of.spki, extensions }, by);
}

export async function newSigner(kind: KeyKind = { type: 'EC', curve: 'P-256' }): Promise<Signer> {
  return keySigner((await generateKeyPair(kind)).privateKey);
}

export interface RequestParts {
  readonly signer?: Signer;
  readonly commonName?: string;
  readonly names?: readonly GeneralName[];
  readonly challenge?: string;
  readonly decryptKeyId?: Uint8Array;
  readonly asymmetricDecryptKeyId?: Uint8Array;
}

/** DER of a request with attributes that only EST knows. */
export async function estRequest(parts: RequestParts = {}): Promise<Uint8Array> {
  const { signer = await newSigner(), commonName, names = [], challenge } = parts;
  const attribute = (type: string, value: Uint8Array) =>
    der.sequence(der.oid(type), der.setOf(value));
  const { decryptKeyId, asymmetricDecryptKeyId } = parts;
  const subject = commonName === undefined ? [] : [{ type: 'CN' as const, value: commonName }];
  const extensions = names.length === 0 ? [] : [extension.subjectAltName(names)];
  const attributes = [
    ...(extensions.length === 0
      ? []
      : [attribute(oids.extensionRequest, encodeExtensions(extensions))]),
    ...(challenge === undefined
      ? []
      : [attribute(oids.challengePassword, der.printable(challenge))]),
    ...(decryptKeyId === undefined
      ? []
      : [attribute(oids.decryptKeyId, der.octetString(decryptKeyId))]),
    ...(asymmetricDecryptKeyId === undefined
      ? []
      : [attribute(oids.asymmetricDecryptKeyId, der.octetString(asymmetricDecryptKeyId))]),
  ];
  const tbs = der.sequence(
    der.integer(0),
    buildName(subject).raw,
    signer.spki.raw,
    der.contextSetOf(0, ...attributes),
  );
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

export const dns = (value: string): GeneralName => ({ kind: 'dns', value });

export function basic(user: string, secret: string): string {
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
}

/** RFC 2045 §6.8, as clients of old send it. */
export function inLines(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll(/.{64}/g, '$&\r\n');
}

/** What a certs-only message holds. */
export function certificatesOf(base64: string): Certificate[] {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  const info = DerReader.over(bytes, 'answer', certificateLimits).sequence('content info');
  assert.equal(info.oid('type'), cmsOids.signedData);
  const signedData = info.constructed('content', 0xa0).sequence('signed data');
  signedData.smallInteger('version', 1);
  signedData.any('digests');
  signedData.any('content');
  const found: Certificate[] = [];
  signedData.setOf('certificates', 0xa0, (each) => {
    found.push(parseCertificate(each.any('certificate').slice()));
  });
  return found;
}
