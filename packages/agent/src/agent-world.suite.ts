import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Fields,
  type Log,
  noMeter,
  systemClock,
} from '@countersign/base';
import {
  formatBundleDocument,
  makeBundle,
  type PublicJwk,
  type TrustBundle,
} from '@countersign/spiffe';
import { type TestCa, testCa } from '@countersign/testkit';
import type { BatchRequest, BatchResponse, RegisteredEntry } from '@countersign/wire';
import {
  buildName,
  extension,
  keyIdOf,
  parseCertificate,
  parseCertificateRequest,
  signCertificate,
  verifyPossession,
} from '@countersign/x509';
import { Client, type ClientReadableStream, credentials, Metadata } from '@grpc/grpc-js';
import {
  type Agent,
  type AgentAuthority,
  type AgentOptions,
  type Entry,
  type EntryDraft,
  makeEntry,
  startAgent,
} from './index.ts';
import { workloadMessages, workloadMethods } from './serve/workload-messages.ts';

export const trustDomain = 'example.org';
export const myService = 'spiffe://example.org/myservice';
export const secondService = 'spiffe://example.org/myservice2';

/** Signs what the agent asks for, in memory; `refuse` and `outage` make it an authority that does not. */
export interface AuthorityDouble extends AgentAuthority {
  readonly ca: TestCa;
  bundleOf: TrustBundle;
  ttlMs: number;
  /** Orders seen so far. */
  orders: number;
  /** Tokens issued so far. */
  tokens: number;
  refuse: ((spiffeId: string) => CountersignError | undefined) | undefined;
  outage: CountersignError | undefined;
  /** Signed for instead of what was asked. */
  mistake: string | undefined;
  /** Entries of its own. */
  registered: readonly RegisteredEntry[];
  /** Tells whoever watches what changed. */
  tell(): void;
}

export function authorityDouble(
  clock: Clock = systemClock,
  /** Whether its root signs, and chains have one certificate. */
  isFlat = false,
): AuthorityDouble {
  const ca = testCa({ at: clock.now() });
  const issuing = isFlat ? ca : ca.intermediate();
  const news = new EventEmitter();
  const jwtKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...jwtKey.publicKey.export({ format: 'jwk' }), kid: 'k1' } as PublicJwk;
  const double: AuthorityDouble = {
    ca,
    bundleOf: { ...makeBundle(trustDomain, [ca.root]), jwtKeys: [jwk] },
    ttlMs: 3_600_000,
    orders: 0,
    tokens: 0,
    refuse: undefined,
    outage: undefined,
    mistake: undefined,
    registered: [],
    async issueBatch({ orders }: BatchRequest): Promise<BatchResponse> {
      if (double.outage !== undefined) throw double.outage;
      double.orders += orders.length;
      const results = await Promise.all(
        orders.map(async ({ csr, spiffeId = '', dns, ttlMs }) => {
          const refusal = double.refuse?.(spiffeId);
          if (refusal !== undefined) {
            const { code, message: detail } = refusal;
            return { ok: false, id: 'x', code, detail } as const;
          }
          const leaf = await signLeaf(csr, double.mistake ?? spiffeId, dns, ttlMs ?? double.ttlMs);
          const { serialHex: serial, notAfter } = parseCertificate(leaf);
          const chain = isFlat ? [leaf] : [leaf, issuing.certificate.raw];
          return { ok: true, spiffeId, serial, notAfter, chain } as const;
        }),
      );
      const bundle = JSON.parse(formatBundleDocument(double.bundleOf));
      return { results, bundle, trustDomain };
    },
    async *watchAgent({ signal }) {
      for (;;) {
        if (double.outage !== undefined) throw double.outage;
        const bundle = JSON.parse(formatBundleDocument(double.bundleOf));
        yield { type: 'bundle', bundle };
        yield { type: 'entries', version: 1, entries: double.registered };
        await once(news, 'news', { signal });
      }
    },
    async jwtSvid({ spiffeId, audience, ttlMs = 300_000 }) {
      if (double.outage !== undefined) throw double.outage;
      double.tokens += 1;
      const iat = Math.floor(clock.now() / 1000);
      const exp = iat + Math.floor(ttlMs / 1000);
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const claims = { sub: spiffeId, aud: audience, iat, exp, nested: { list: [1, true, null] } };
      const signed = `${part({ alg: 'ES256', kid: 'k1' })}.${part(claims)}`;
      const dsaEncoding = 'ieee-p1363';
      const signature = sign('sha256', Buffer.from(signed), {
        key: jwtKey.privateKey,
        dsaEncoding,
      });
      const token = `${signed}.${signature.toString('base64url')}`;
      return { token, issuedAt: iat * 1000, expiresAt: exp * 1000 };
    },
    tell: () => news.emit('news'),
  };

  async function signLeaf(csr: Uint8Array, id: string, dns: readonly string[], ttlMs: number) {
    const request = parseCertificateRequest(csr);
    if (!verifyPossession(request)) throw new Error('no proof of possession');
    const now = clock.now();
    const { certificate, signer } = issuing;
    return signCertificate(
      {
        serial: Uint8Array.of(0x40, ...randomBytes(15)),
        issuer: certificate.subject,
        subject: buildName([]),
        notBefore: now - 60_000,
        notAfter: now + ttlMs,
        spki: request.spki,
        extensions: [
          extension.basicConstraints(),
          extension.keyUsage(['digitalSignature']),
          extension.extKeyUsage(['serverAuth', 'clientAuth']),
          extension.subjectAltName(
            [{ kind: 'uri', value: id }, ...dns.map((value) => ({ kind: 'dns', value }) as const)],
            true,
          ),
          extension.authorityKeyId(certificate.subjectKeyId ?? keyIdOf(certificate.spki)),
        ],
      },
      signer,
    );
  }
  return double;
}

export interface AgentWorld {
  readonly agent: Agent;
  readonly authority: AuthorityDouble;
  readonly lines: (Fields & { readonly message: string })[];
  client(): Client;
  close(): Promise<void>;
}

export function entryFor(spiffeId: string, more: Partial<EntryDraft> = {}): Entry {
  const { uid } = userInfo();
  return makeEntry({
    spiffeId,
    selectors: [`unix:uid:${uid}`],
    hint: '',
    dns: [],
    federatesWith: [],
    ...more,
  });
}

/** An agent on a socket of its own, over an authority in memory. */
export async function agentWorld(
  entries: readonly Entry[],
  authority: AuthorityDouble = authorityDouble(),
  options: Partial<AgentOptions> = {},
): Promise<AgentWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-agent-'));
  const lines: (Fields & { message: string })[] = [];
  const agent = await startAgent({
    socket: join(directory, 'agent.sock'),
    bundle: authority.bundleOf,
    authority,
    entries,
    clock: systemClock,
    log: keptLog(lines),
    meter: noMeter,
    ...options,
  });
  const clients: Client[] = [];
  return {
    agent,
    authority,
    lines,
    client() {
      const client = new Client(`unix:${agent.socket}`, credentials.createInsecure());
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      await agent.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The header that every call of the Workload API has. */
export function withHeader(): Metadata {
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  return metadata;
}

type WorkloadMethod = keyof typeof workloadMethods;

/** Opens a stream of the Workload API. */
export function openStream(
  client: Client,
  name: WorkloadMethod,
  metadata = withHeader(),
): ClientReadableStream<Uint8Array> {
  const { path, request } = workloadMethods[name];
  const stream = client.makeServerStreamRequest(
    path,
    request.encode as (value: object) => Buffer,
    (bytes) => bytes,
    {},
    metadata,
  );
  // Cancelling tells it too.
  stream.on('error', () => {});
  return stream;
}

/** The next message of a stream; rejects with what ended it. */
export async function nextMessage(stream: ClientReadableStream<Uint8Array>): Promise<Uint8Array> {
  const [message] = await once(stream, 'data', { signal: AbortSignal.timeout(30_000) });
  return message as Uint8Array;
}

export async function nextSvids(stream: ClientReadableStream<Uint8Array>) {
  return workloadMessages.x509SvidResponse.decode(await nextMessage(stream));
}

/** One call that is answered once. */
export function callOnce(
  client: Client,
  name: 'fetchJwtSvid' | 'validateJwtSvid',
  request: object,
  metadata = withHeader(),
): Promise<Uint8Array> {
  const { path, request: shape } = workloadMethods[name];
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      shape.encode as (value: object) => Buffer,
      (bytes) => bytes,
      request,
      metadata,
      (error, value) => (value === undefined ? reject(error) : resolve(value)),
    );
  });
}

/** The status that ends a stream. */
export async function endOf(
  stream: ClientReadableStream<Uint8Array>,
): Promise<{ readonly code: number; readonly details: string }> {
  stream.resume();
  const [error] = await once(stream, 'error', { signal: AbortSignal.timeout(30_000) });
  return error as { code: number; details: string };
}

export function outage(): CountersignError {
  return new CountersignError('ERR_WIRE_UNREACHABLE', 'connection refused');
}

export async function untilLine(world: AgentWorld, start: string): Promise<void> {
  const deadline = AbortSignal.timeout(30_000);
  while (!world.lines.some(({ message }) => message.startsWith(start))) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function keptLog(lines: (Fields & { message: string })[]): Log {
  const keep = (fields: Fields, message: string) => {
    lines.push({ ...fields, message });
  };
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log };
  return log;
}
