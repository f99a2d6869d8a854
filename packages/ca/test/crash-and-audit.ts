import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CountersignError, equalBytes, noLog, systemClock } from '@countersign/base';
import { AuthorityClient, type IssueResponse } from '@countersign/wire';
import { parseCaConfig } from '../src/ca-config.ts';
import { initAuthority } from '../src/init-authority.ts';
import { auditLedger } from '../src/ledger/audit-ledger.ts';
import { openSqliteLedger } from '../src/ledger/sqlite-ledger.ts';
import { adminClient } from '../src/serve/admin-client.ts';
import { stateLayout } from '../src/state-layout.ts';
import {
  caYaml,
  httpsTransport,
  identityOf,
  newRequest,
  type TestIdentity,
} from './api-under-test.ts';

export interface CrashFigures {
  readonly kills: number;
  readonly acknowledged: number;
  readonly revocations: number;
  /** Intents that a kill left open. */
  readonly orphans: number;
}

/** What clients were told before the authority died. */
interface Told {
  readonly certificates: Map<string, Uint8Array>;
  readonly revocations: Set<number>;
  /** Refusals that no client should have met. */
  readonly surprises: string[];
}

/** An authority under load, as the clients reach it; undefined while it is dead. */
interface Running {
  readonly child: ChildProcess;
  readonly port: number;
}

/**
 * Kills a real authority with SIGKILL at random moments while clients enrol, renew and revoke, and audits its ledger
 * after each: whatever was acknowledged is there, nothing is there twice, nothing without its intent.
 */
export async function crashAndAudit(options: {
  readonly kills: number;
  readonly clients: number;
}): Promise<CrashFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-crash-'));
  const configFile = join(directory, 'ca.yaml');
  const data = join(directory, 'state');
  writeFileSync(configFile, caYaml);
  const config = parseCaConfig(caYaml, configFile);
  await initAuthority({ config, data, clock: systemClock, log: noLog });
  const root = readFileSync(stateLayout(data).rootCertificate, 'utf8');

  const told: Told = { certificates: new Map(), revocations: new Set(), surprises: [] };
  let running: Running | undefined;
  let done = false;
  let orphans = 0;
  const clients = Array.from({ length: options.clients }, (_, index) =>
    enrolForever({ index, data, root, told, running: () => running, done: () => done }),
  );
  try {
    for (let kill = 0; kill < options.kills; kill += 1) {
      running = await start(configFile, data);
      const before = told.certificates.size;
      while (told.certificates.size === before) await wait(1);
      await wait(Math.random() * 150);
      const { child } = running;
      running = undefined;
      child.kill('SIGKILL');
      await once(child, 'exit');
      orphans += await audit(data, told);
    }
  } finally {
    done = true;
    running?.child.kill('SIGKILL');
    await Promise.all(clients);
    rmSync(directory, { recursive: true });
  }
  assert.deepEqual(told.surprises, []);
  const { certificates, revocations } = told;
  const acknowledged = certificates.size;
  return { kills: options.kills, acknowledged, revocations: revocations.size, orphans };
}

async function start(configFile: string, data: string): Promise<Running> {
  const program = join(import.meta.dirname, 'serve-process.ts');
  const child = spawn(process.execPath, [program, configFile, data], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Starting over and over, it need not compile itself each time.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'countersign-compiled'), ...process.env },
  });
  const ended = once(child, 'exit').then(() => undefined);
  const ready = await Promise.race([once(child.stdout, 'data'), ended]);
  assert.ok(ready !== undefined, `the authority ended with ${child.exitCode}`);
  const [, port] = String(ready[0]).split(' ');
  return { child, port: Number(port) };
}

/** @returns how many intents the kill left open */
async function audit(data: string, told: Told): Promise<number> {
  const file = stateLayout(data).ledger;
  const ledger = await openSqliteLedger({ file, clock: systemClock, log: noLog });
  try {
    const { certificates, revocations } = told;
    const acknowledged = { serials: certificates.keys(), revocations };
    const { findings, openIntents } = await auditLedger(ledger, acknowledged);
    assert.deepEqual(findings, []);
    for (const [serialHex, der] of [...certificates].slice(-50)) {
      const found = await ledger.certificate(serialHex);
      assert.ok(found !== undefined && equalBytes(found.der, der), `certificate "${serialHex}"`);
    }
    return openIntents;
  } finally {
    await ledger.close();
  }
}

interface ClientLife {
  readonly index: number;
  readonly data: string;
  readonly root: string;
  readonly told: Told;
  readonly running: () => Running | undefined;
  readonly done: () => boolean;
}

async function enrolForever(life: ClientLife): Promise<void> {
  const agents: Agent[] = [];
  for (let round = 0; !life.done(); round += 1) {
    const { port } = life.running() ?? {};
    if (port === undefined) {
      await wait(5);
      continue;
    }
    const agent = new Agent({ keepAlive: true });
    agents.push(agent);
    try {
      while (life.running()?.port === port) await liveOnce(life, port, round, agent);
    } catch (thrown) {
      const code = thrown instanceof CountersignError ? thrown.code : undefined;
      if (code !== 'ERR_WIRE_UNREACHABLE') life.told.surprises.push(`${code}: ${thrown}`);
      await wait(5);
    } finally {
      agent.destroy();
    }
  }
}

/** Enrols, renews, and now and then revokes what it got. Whatever is answered is noted at once. */
async function liveOnce(
  life: ClientLife,
  port: number,
  round: number,
  agent: Agent,
): Promise<void> {
  const { told, data, root } = life;
  const url = `https://127.0.0.1:${port}`;
  const clientOf = (tls: object): AuthorityClient =>
    new AuthorityClient({ url, transport: httpsTransport(port, { ca: root, ...tls }) });
  const note = ({ serial, chain: [leaf = new Uint8Array()] }: IssueResponse): void => {
    told.certificates.set(serial, leaf);
  };

  const operator = await adminClient(data);
  if (operator === undefined) return void (await wait(5));
  const spiffeId = `spiffe://example.com/ns/load/sa/client-${life.index}-${round}`;
  const { token } = await operator.createToken({ spiffeId, dns: [], ip: [] });
  const { csr, key } = await newRequest();
  const enrolled = await clientOf({ agent }).enrol({ token, csr });
  note(enrolled);

  const identity: TestIdentity = identityOf(enrolled, key);
  const client = clientOf({ agent: false, cert: identity.cert, key: identity.key });
  note(await client.renew({ csr: (await newRequest()).csr }));
  if (Math.random() < 0.7) return;
  const order = { by: 'serial', value: enrolled.serial, reason: 'superseded' } as const;
  const report = await client.revoke({ ...order, block: false, dryRun: false, waitMs: 0 });
  told.revocations.add(report.position);
}
