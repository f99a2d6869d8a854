import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { adminClient } from '@countersign/ca';
import { enrol, type RotatingIdentity, renewOverMtls, startRotation } from '@countersign/identity';
import { createMtlsListener, dialMtls, expectSpiffeId } from '@countersign/mtls';
import { type AuthorityClient, revealJoinToken } from '@countersign/wire';
import { bin } from './countersign.ts';

/**
 * An authority and a gateway as processes of their own, with an upstream and any number of workloads in this one, who
 * enrol, renew and connect as any other would. Ends what it started, newest first.
 */
export interface Fleet {
  readonly authorityUrl: string;
  readonly authorityPid: number;
  readonly gatewayUrl: string;
  /** Enrols under `spiffe://fleet.internal/NAME`; kept fresh unless `isStatic`. */
  workload(
    name: string,
    options?: { readonly isStatic?: boolean; readonly ttlMs?: number },
  ): Promise<RotatingIdentity>;
  /** A connection to the gateway by one workload. */
  dial(identity: RotatingIdentity): ReturnType<typeof dialMtls>;
  /** Whoever holds the state, over the admin socket. */
  readonly operator: AuthorityClient;
  end(): Promise<void>;
}

export interface FleetOptions {
  /** Lifetime of certificates, as ca.yaml has it. */
  readonly validity: string;
  /** What ca.yaml has under `api`; nothing unless given. */
  readonly api?: string;
  /** What the upstream answers; it is told who called in `x-forwarded-client-cert`. */
  readonly upstream: RequestListener;
  /** Workloads that may order for others, by their names. */
  readonly registrars?: readonly string[];
}

export const trustDomain = 'fleet.internal';

export function idOf(name: string): string {
  return `spiffe://${trustDomain}/${name}`;
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const home = await mkdtemp(join(tmpdir(), 'countersign-fleet-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(home, { recursive: true, force: true })];
  const end = async () => {
    for (const close of closers.reverse()) await close();
  };
  try {
    return await build(home, options, closers, end);
  } catch (thrown) {
    await end();
    throw thrown;
  }
}

async function build(
  home: string,
  options: FleetOptions,
  closers: (() => Promise<unknown>)[],
  end: () => Promise<void>,
): Promise<Fleet> {
  const state = join(home, 'state');
  const at = (name: string) => join(home, name);

  // 1. the authority
  await writeFile(at('ca.yaml'), authorityConfig(options));
  await run(['init', '--config', at('ca.yaml'), '--data', state]);
  const authority = await serve([
    'ca',
    'serve',
    '--config',
    at('ca.yaml'),
    '--data',
    state,
    '--port',
    '0',
  ]);
  closers.push(authority.end);
  const authorityUrl = authority.url;
  const operator = await adminClient(state);
  if (operator === undefined) throw new Error('the authority does not answer on its admin socket');
  const token = async (name: string, ip: string[] = []) =>
    revealJoinToken((await operator.createToken({ spiffeId: idOf(name), dns: [], ip })).token);

  // 2. workloads
  const workload: Fleet['workload'] = async (name, { isStatic = false, ttlMs } = {}) => {
    const identity = await enrol({
      url: authorityUrl,
      token: await token(name),
      clock: systemClock,
      ...(ttlMs !== undefined && { ttlMs }),
    });
    const live = startRotation({
      identity,
      renew: renewOverMtls({ url: authorityUrl, clock: systemClock }),
      ...{ clock: systemClock, log: noLog, meter: noMeter },
    });
    if (isStatic) await live.stop();
    else closers.push(() => live.stop());
    return live;
  };

  // 3. the upstream
  const upstream = await workload('upstream');
  const http = createServer(options.upstream);
  const listener = createMtlsListener({
    ...{ name: 'upstream', svids: upstream, bundles: upstream, clientAuth: 'require' },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection: (socket) => http.emit('connection', socket),
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  closers.push(() => listener.close(0));

  // 4. the gateway
  const gatewayConfig = `
routes:
  - match: { pathPrefix: / }
    upstream: { url: 'https://127.0.0.1:${port}', spiffeId: ${idOf('upstream')}, idleTimeout: 0s }
`;
  await writeFile(at('gateway.yaml'), gatewayConfig);
  const gatewayToken = await token('gateway', ['127.0.0.1']);
  const gateway = await serve([
    ...['gateway', '--config', at('gateway.yaml'), '--ca', authorityUrl],
    ...['--token', gatewayToken, '--port', '0', '--log-level', 'error'],
  ]);
  closers.push(gateway.end);
  const gatewayUrl = gateway.url;

  return {
    ...{ authorityUrl, authorityPid: authority.pid, gatewayUrl, operator, workload, end },
    dial: (identity) =>
      dialMtls({
        host: '127.0.0.1',
        port: Number(new URL(gatewayUrl).port),
        ...{ svids: identity, bundles: identity, clock: systemClock },
        expect: expectSpiffeId(idOf('gateway')),
      }),
  };
}

function authorityConfig({ validity, api = '', registrars = [] }: FleetOptions): string {
  return `
ca:
  root: { algorithm: ECDSA, curve: P-256, validity: 720h, pathLenConstraint: 1 }
  intermediate:
    services: { algorithm: ECDSA, curve: P-256, validity: 168h, pathLenConstraint: 0 }
service_certificates:
  algorithm: ECDSA
  curve: P-256
  validity: ${validity}
  max_validity: 24h
  san_policies: { require_spiffe: true, spiffe_trust_domain: ${trustDomain}, allow_ip_san: true }
api: { registrars: [${registrars.map((name) => `"${idOf(name)}"`).join()}]${api === '' ? '' : `, ${api}`} }
`;
}

async function run(words: readonly string[]): Promise<string> {
  const { child, output } = start(words);
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code === 0) return output.stdout;
  throw new Error(`countersign ${words[0]} ended with ${code}: ${output.stderr}`);
}

interface Serving {
  readonly url: string;
  readonly pid: number;
  readonly end: () => Promise<void>;
}

async function serve(words: readonly string[]): Promise<Serving> {
  const { child, output } = start(words);
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', () => output.stdout.includes('\n') && resolve());
  });
  await Promise.race([ready, closed]);
  const url = /^ready (\S+)/.exec(output.stdout)?.[1];
  if (url === undefined) throw new Error(`countersign ${words[0]}: ${output.stderr}`);
  const end = async () => {
    child.kill('SIGTERM');
    await closed;
  };
  return { url, pid: child.pid ?? 0, end };
}

function start(words: readonly string[]) {
  const child = spawn(process.execPath, [bin, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr = `${output.stderr}${chunk}`.slice(-100_000);
  });
  return { child, output };
}
