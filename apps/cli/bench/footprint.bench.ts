import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@countersign/base';
import { adminClient } from '@countersign/ca';
import { enrol } from '@countersign/identity';
import { batchLimits } from '@countersign/wire';
import { buildCertificateRequest, generateKeyPair, keySigner } from '@countersign/x509';
import { bin } from '../test/countersign.ts';

export interface FootprintFigures {
  /** From starting the process to a certificate in the hands of a workload that enrolled; the middle of so many starts. */
  readonly firstCertificateMs: number;
  readonly readyMs: number;
  readonly starts: number;
  readonly certificates: number;
  /** Resident memory of the authority's process after them, and the most that it ever had. */
  readonly residentMb: number;
  readonly peakMb: number;
  /** Of the whole data directory while it serves, a certificate: ledger with its log, audit trail, issuance log. */
  readonly diskBytesEach: number;
  /** The same once it has ended. */
  readonly diskBytesEachAtRest: number;
}

const starts = 7;

/** What an authority takes to start, and to have issued so many certificates. */
export async function measureFootprint(certificates = 6000): Promise<FootprintFigures> {
  const home = mkdtempSync(join(tmpdir(), 'countersign-footprint-'));
  const state = join(home, 'state');
  try {
    writeFileSync(join(home, 'ca.yaml'), config);
    await ended(start(['init', '--config', join(home, 'ca.yaml'), '--data', state]));
    const firsts: number[] = [];
    const readies: number[] = [];
    for (let each = 0; each < starts; each += 1) {
      const token = await output(
        start(['token', 'create', '--data', state, '--spiffe-id', idOf(`first-${each}`)]),
      );
      const began = systemClock.monotonic();
      const server = await serve(home);
      readies.push(systemClock.monotonic() - began);
      await enrol({ url: server.url, token: token.trim(), clock: systemClock });
      firsts.push(systemClock.monotonic() - began);
      await server.end();
    }
    const server = await serve(home);
    const before = bytesUnder(state);
    await issueMany(state, certificates);
    // The issuance log is written behind the issuing path.
    await systemClock.sleep(2000);
    const { resident, peak } = memoryOf(server.pid);
    const during = bytesUnder(state);
    await server.end();
    return {
      firstCertificateMs: middle(firsts),
      readyMs: middle(readies),
      starts,
      certificates,
      residentMb: resident,
      peakMb: peak,
      diskBytesEach: (during - before) / certificates,
      diskBytesEachAtRest: (bytesUnder(state) - before) / certificates,
    };
  } finally {
    rmSync(home, { recursive: true });
  }
}

async function issueMany(state: string, certificates: number): Promise<void> {
  const operator = await adminClient(state);
  if (operator === undefined) throw new Error('the authority does not answer on its admin socket');
  for (let issued = 0; issued < certificates; ) {
    const count = Math.min(batchLimits.orders, certificates - issued);
    const orders = await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
        const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
        return { csr, own: false, spiffeId: idOf(`workload-${issued + i}`), dns: [], ip: [] };
      }),
    );
    const { results } = await operator.issueBatch({ orders });
    if (results.some(({ ok }) => !ok)) throw new Error('an order was refused');
    issued += count;
  }
}

const config = `
ca: { intermediate: { services: { validity: 168h } } }
service_certificates:
  validity: 1h
  san_policies: { spiffe_trust_domain: bench.internal }
`;

function idOf(name: string): string {
  return `spiffe://bench.internal/ns/prod/sa/${name}`;
}

function start(words: readonly string[]) {
  return spawn(process.execPath, [bin, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
}

async function ended(child: ReturnType<typeof start>): Promise<void> {
  child.stdout.resume();
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the command ended with ${code}`);
}

async function output(child: ReturnType<typeof start>): Promise<string> {
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  await ended(child);
  return text;
}

async function serve(home: string) {
  const child = start([
    ...['ca', 'serve', '--config', join(home, 'ca.yaml'), '--data', join(home, 'state')],
    ...['--port', '0'],
  ]);
  const url = await new Promise<string>((resolve, reject) => {
    child.once('close', () => reject(new Error('the authority did not start')));
    child.stdout.on('data', (part) => {
      const ready = /^ready (\S+)/.exec(String(part))?.[1];
      if (ready !== undefined) resolve(ready);
    });
  });
  const end = async () => {
    child.kill('SIGTERM');
    await once(child, 'close');
  };
  return { url, pid: child.pid ?? 0, end };
}

/** In megabytes. Linux alone. */
function memoryOf(pid: number): { readonly resident: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1000;
  return { resident: of('VmRSS'), peak: of('VmHWM') };
}

/** As the disk counts it, in blocks. */
function bytesUnder(path: string): number {
  const stat = lstatSync(path);
  const own = stat.blocks * 512;
  if (!stat.isDirectory()) return own;
  return readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), own);
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
