import {
  createCipheriv,
  createDecipheriv,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { once } from 'node:events';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { compileRules, parseAuthorizationPolicies } from '@countersign/authz';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener } from '@countersign/mtls';
import { makeSvid, neverRevoked, staticBundles, staticSvid } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { parseGatewayConfig, startGateway } from '../src/index.ts';
import type { Load, LoadCredential } from './load-worker.ts';

export interface ProxyFigures {
  /** What the cryptography alone takes on this machine. */
  readonly floorMicros: number;
  /** The same exchange with a bare server of Node, client certificate asked for. */
  readonly bareMicros: number;
  /** Ours. All three are CPU time of the serving thread for one handshake or request. */
  readonly figureMicros: number;
  /** Ours to the floor. */
  readonly ratio: number;
  /** Ours to the bare server. */
  readonly bareRatio: number;
}

const rounds = 9;

/**
 * A full TLS 1.3 handshake with both certificates: key agreement, the client's chain verified by our verifier,
 * admitted, registered. The floor: an X25519 key and agreement, one signature, three verifications (the client's
 * proof, its certificate, its intermediate), all P-256.
 */
export async function measureHandshake(count = 200): Promise<ProxyFigures> {
  const world = await openWorld();
  const listener = createMtlsListener({
    name: 'bench',
    svids: staticSvid(makeSvid(world.server.chain, world.server.privateKey)),
    bundles: world.bundles,
    clientAuth: 'require',
    clock: systemClock,
    log: noLog,
    meter: noMeter,
    onConnection: (socket) => void socket.resume(),
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  const bare = tls.createServer(world.bareOptions, (socket) => void socket.resume());
  const barePort = await portOf(bare);
  const load = { kind: 'handshakes', count, concurrency: 4 } as const;
  try {
    return await compare(world, handshakeFloor, load, { port, barePort });
  } finally {
    bare.close();
    await listener.close(0);
    await world.close();
  }
}

/**
 * A small GET on kept-alive connections, through the whole pipeline: rules, identity headers, mTLS upstream. The
 * floor: its four TLS records (two read, two written) in AES-128-GCM. The bare server answers by itself, and asks
 * nobody.
 */
export async function measureProxiedRequest(count = 2000): Promise<ProxyFigures> {
  const world = await openWorld();
  const gateway = await startGateway({
    config: parseGatewayConfig(
      `listen: { port: 0 }
routes: [{ match: {}, upstream: { url: "https://127.0.0.1:${world.upstreamPort}", spiffeId: ${clientId} } }]`,
      'gateway.yaml',
    ),
    rules: compileRules(parseAuthorizationPolicies(policy)),
    svids: staticSvid(makeSvid(world.server.chain, world.server.privateKey)),
    bundles: world.bundles,
    revocation: neverRevoked,
    clock: systemClock,
    log: noLog,
    meter: noMeter,
  });
  const bare = https.createServer(world.bareOptions, (_request, response) => {
    response.end('{"ok":true}');
  });
  const barePort = await portOf(bare);
  const load = { kind: 'requests', count, concurrency: 8 } as const;
  try {
    return await compare(world, recordsFloor, load, { port: gateway.port, barePort });
  } finally {
    bare.closeAllConnections();
    bare.close();
    await gateway.close();
    await world.close();
  }
}

const clientId = 'spiffe://example.test/client';
const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: bench }
spec:
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["example.test/client"] } }]
      to: [{ operation: { methods: [GET], paths: ["/orders/*"] } }]
`;

async function openWorld() {
  const root = testCa();
  const issuing = root.intermediate();
  const server = issuing.svid('spiffe://example.test/server');
  const client = issuing.svid(clientId);
  const workerData: LoadCredential = {
    cert: client.chainPem,
    key: client.keyPem,
    ca: root.rootPem,
  };
  const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData });
  const [ready] = (await once(worker, 'message')) as [{ upstream: AddressInfo }];
  return {
    server,
    bundles: staticBundles({ trustDomain: 'example.test', authorities: [root.root] }),
    upstreamPort: ready.upstream.port,
    bareOptions: {
      ...{ cert: server.chainPem, key: server.keyPem, ca: root.rootPem },
      ...{ requestCert: true, rejectUnauthorized: true },
    },
    async run(load: Load): Promise<void> {
      worker.postMessage(load);
      await once(worker, 'message');
    },
    async close(): Promise<void> {
      await worker.terminate();
    },
  };
}

async function compare(
  world: Awaited<ReturnType<typeof openWorld>>,
  floor: () => void,
  load: Omit<Load, 'port'>,
  { port, barePort }: { readonly port: number; readonly barePort: number },
): Promise<ProxyFigures> {
  const perOne = async (work: () => unknown): Promise<number> => {
    const start = threadMicros();
    await work();
    return (threadMicros() - start) / load.count;
  };
  const floors = [];
  const bares = [];
  const figures = [];
  // The first round warms up, and is not counted.
  for (let round = 0; round <= rounds; round += 1) {
    floors[round] = await perOne(() => {
      for (let i = 0; i < load.count; i += 1) floor();
    });
    bares[round] = await perOne(() => world.run({ ...load, port: barePort }));
    figures[round] = await perOne(() => world.run({ ...load, port }));
  }
  const [floorMicros, bareMicros, figureMicros] = [floors, bares, figures].map((all) =>
    median(all.slice(1)),
  ) as [number, number, number];
  return {
    ...{ floorMicros, bareMicros, figureMicros },
    ratio: figureMicros / floorMicros,
    bareRatio: figureMicros / bareMicros,
  };
}

const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const agreeing = generateKeyPairSync('x25519');
const message = randomBytes(130);
const signature = sign('sha256', message, signing.privateKey);

function handshakeFloor(): void {
  const own = generateKeyPairSync('x25519');
  diffieHellman({ privateKey: own.privateKey, publicKey: agreeing.publicKey });
  sign('sha256', message, signing.privateKey);
  for (let i = 0; i < 3; i += 1) {
    if (!verify('sha256', message, signing.publicKey, signature)) throw new Error('not verified');
  }
}

const recordKey = randomBytes(16);
const iv = randomBytes(12);
const plain = randomBytes(400);

function recordsFloor(): void {
  for (let i = 0; i < 2; i += 1) {
    const sealing = createCipheriv('aes-128-gcm', recordKey, iv);
    const sealed = Buffer.concat([sealing.update(plain), sealing.final()]);
    const opening = createDecipheriv('aes-128-gcm', recordKey, iv);
    opening.setAuthTag(sealing.getAuthTag());
    Buffer.concat([opening.update(sealed), opening.final()]);
  }
}

/** CPU time of this thread: other work on the machine stretches the wall clock, not this. */
function threadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function portOf(server: tls.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const rows = { 'full handshake': measureHandshake, 'proxied request': measureProxiedRequest };
  for (const [name, measure] of Object.entries(rows)) {
    const { floorMicros, bareMicros, figureMicros, ratio, bareRatio } = await measure();
    console.log(
      `${name} ${figureMicros.toFixed(0)} µs; crypto floor ${floorMicros.toFixed(0)} µs, ratio ${ratio.toFixed(2)}; ` +
        `bare node ${bareMicros.toFixed(0)} µs, ratio ${bareRatio.toFixed(2)}`,
    );
  }
}
