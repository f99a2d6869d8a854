import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CountersignError, equalBytes, noLog, systemClock } from '@countersign/base';
import { AuthorityClient, type IssueResponse } from '@countersign/wire';
import { parseCaConfig } from '../src/ca-config.ts';
import { initAuthority } from '../src/init-authority.ts';
import { auditLedger } from '../src/ledger/audit-ledger.ts';
import type { Ledger } from '../src/ledger/ledger.ts';
import { openLedger } from '../src/ledger/open-ledger.ts';
import { verifyAudit } from '../src/ledger/verify-audit.ts';
import { adminClient } from '../src/serve/admin-client.ts';
import { readStateManifest, stateLayout } from '../src/state-layout.ts';
import {
  caYaml,
  httpsTransport,
  identityOf,
  newRequest,
  type TestIdentity,
} from './api-under-test.ts';
import { LogFilesAuditor } from './audit-log-files.ts';
import { PublishedListsAuditor } from './published-lists-auditor.ts';

export interface CrashFigures {
  readonly kills: number;
  readonly acknowledged: number;
  readonly revocations: number;
  /** Intents that a kill left open. */
  readonly orphans: number;
  /** Different revocation lists that were seen. */
  readonly lists: number;
}

export interface CrashOptions {
  readonly kills: number;
  readonly clients: number;
  /** After how many kills the whole ledger is read; it always is at the end. Default: each time. */
  readonly auditEvery?: number;
  /** A PostgreSQL that several authorities share; without it one authority has a file. */
  readonly shared?: { readonly url: string; readonly schema: string; readonly authorities: number };
}

/** What clients were told before the authority died. */
interface Told {
  readonly certificates: Map<string, Uint8Array>;
  readonly revocations: Set<number>;
  /** Serials that were revoked. */
  readonly revoked: Set<string>;
  /** Refusals that no client should have met. */
  readonly surprises: string[];
}

/** An authority under load, as the clients reach it. */
interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  readonly data: string;
}

/**
 * Kills a real authority with SIGKILL at random moments while clients enrol, renew and revoke and lists are made of what
 * they revoked, and audits its ledger afterwards: whatever was acknowledged is there, nothing is there twice, nothing
 * without its intent, the issuance log is whole, and lists follow each other. Where several share a ledger, one of them is
 * killed, the clients go on with the others, and then those are killed too.
 */
export async function crashAndAudit(options: CrashOptions): Promise<CrashFigures> {
  const { shared } = options;
  const directory = mkdtempSync(join(tmpdir(), 'countersign-crash-'));
  const place = await initialise(directory, shared);
  const told: Told = {
    certificates: new Map(),
    revocations: new Set(),
    surprises: [],
    revoked: new Set(),
  };
  const running = new Set<Running>();
  const logs = new LogFilesAuditor();
  let done = false;
  let orphans = 0;
  const clients = Array.from({ length: options.clients }, (_, index) =>
    enrolForever({ index, root: place.root, told, running, done: () => done }),
  );
  const lists = new PublishedListsAuditor();
  const reader = readListsForever(lists, { running, done: () => done, told });
  const kill = async (victim: Running): Promise<void> => {
    running.delete(victim);
    victim.child.kill('SIGKILL');
    await once(victim.child, 'exit');
  };
  try {
    for (let kills = 0, audited = 0; kills < options.kills; ) {
      const started = await Promise.all(
        place.data.map((data) => start(place.configFile, data, shared)),
      );
      for (const each of started) running.add(each);
      await progress(told);
      await wait(Math.random() * 150);
      const victims = started.toSorted(() => Math.random() - 0.5);
      for (const victim of victims) {
        await kill(victim);
        kills += 1;
        if (running.size > 0) await progress(told);
      }
      const isDue = audited + (options.auditEvery ?? 1) <= kills || kills >= options.kills;
      if (!isDue) continue;
      audited = kills;
      orphans += await audit(place, told);
      for (const data of place.data) await logs.audit(data);
    }
    await listsCatchUp(place, { shared, running, told, lists });
  } finally {
    done = true;
    for (const each of running) await kill(each);
    await Promise.all([...clients, reader]);
    rmSync(directory, { recursive: true });
  }
  assert.deepEqual(told.surprises, []);
  const { certificates, revocations } = told;
  const acknowledged = certificates.size;
  const seen = { orphans, lists: lists.lists };
  return { kills: options.kills, acknowledged, revocations: revocations.size, ...seen };
}

interface Place {
  readonly configFile: string;
  readonly root: string;
  /** One directory an authority, each a copy of the first. */
  readonly data: readonly string[];
  openLedger(): Promise<Ledger>;
}

async function initialise(directory: string, shared: CrashOptions['shared']): Promise<Place> {
  const configFile = join(directory, 'ca.yaml');
  const data = join(directory, 'state');
  const postgres = `ledger: { postgres: { url_env: DATABASE_URL, schema: ${shared?.schema} } }\n`;
  const text = `${caYaml}${publishYaml}${shared === undefined ? '' : postgres}`;
  writeFileSync(configFile, text);
  const config = parseCaConfig(text, configFile);
  const log = noLog;
  const clock = systemClock;
  const secrets = { env: { DATABASE_URL: shared?.url } };
  await initAuthority({ config, data, secrets, clock, log });
  const root = readFileSync(stateLayout(data).rootCertificate, 'utf8');
  const copies = Array.from({ length: (shared?.authorities ?? 1) - 1 }, (_, i) => `${data}-${i}`);
  for (const copy of copies) cpSync(data, copy, { recursive: true });
  const { ledger: state } = await readStateManifest(data);
  const file = stateLayout(data).ledger;
  return {
    configFile,
    root,
    data: [data, ...copies],
    openLedger: () => openLedger({ config: config.ledger, state, file, secrets, clock, log }),
  };
}

/** Lists are made as often as they can be: kills meet them half done. */
const publishYaml = `publish: { url: "http://pki.example.com", crl: { coalesce: 100ms, delta: true, shards: 3 } }\n`;

/** As relying parties would, of every authority that runs. */
async function readListsForever(
  lists: PublishedListsAuditor,
  life: Pick<ClientLife, 'running' | 'done' | 'told'>,
): Promise<void> {
  while (!life.done()) {
    for (const { data } of [...life.running]) {
      await lists.read(data).catch((thrown) => life.told.surprises.push(String(thrown)));
    }
    await wait(20);
  }
}

/** Once nobody is killed any more, everything that was acknowledged comes to be listed. */
async function listsCatchUp(
  place: Place,
  run: {
    readonly shared: CrashOptions['shared'];
    readonly running: Set<Running>;
    readonly told: Told;
    readonly lists: PublishedListsAuditor;
  },
): Promise<void> {
  const { shared, running, told, lists } = run;
  const revoked = new Set(told.revoked);
  const [data = ''] = place.data;
  running.add(await start(place.configFile, data, shared));
  const deadline = performance.now() + 30_000;
  while (!lists.has(revoked)) {
    if (performance.now() > deadline) assert.fail('a revocation is on no list after 30 s');
    await wait(20);
  }
}

async function progress(told: Told): Promise<void> {
  const before = told.certificates.size;
  const deadline = performance.now() + 30_000;
  while (told.certificates.size === before) {
    if (performance.now() > deadline) assert.fail('no client was given a certificate for 30 s');
    await wait(1);
  }
}

async function start(
  configFile: string,
  data: string,
  shared: CrashOptions['shared'],
): Promise<Running> {
  const program = join(import.meta.dirname, 'serve-process.ts');
  const child = spawn(process.execPath, [program, configFile, data], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      // Starting over and over, it need not compile itself each time.
      NODE_COMPILE_CACHE: join(tmpdir(), 'countersign-compiled'),
      ...process.env,
      ...(shared === undefined ? {} : { DATABASE_URL: shared.url }),
    },
  });
  const ended = once(child, 'exit').then(() => undefined);
  const ready = await Promise.race([once(child.stdout, 'data'), ended]);
  assert.ok(ready !== undefined, `the authority ended with ${child.exitCode}`);
  const [, port] = String(ready[0]).split(' ');
  return { child, port: Number(port), data };
}

/** @returns how many intents the kill left open */
async function audit(place: Place, told: Told): Promise<number> {
  const ledger = await place.openLedger();
  try {
    const { certificates, revocations } = told;
    const acknowledged = { serials: certificates.keys(), revocations };
    const { findings, openIntents } = await auditLedger(ledger, acknowledged);
    const trail = await verifyAudit(ledger);
    assert.deepEqual([...findings, ...trail.findings], []);
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
  readonly root: string;
  readonly told: Told;
  readonly running: ReadonlySet<Running>;
  readonly done: () => boolean;
}

async function enrolForever(life: ClientLife): Promise<void> {
  for (let round = 0; !life.done(); round += 1) {
    const [here, there] = chosen(life, round);
    if (here === undefined || there === undefined) {
      await wait(5);
      continue;
    }
    const agents = { here: new Agent({ keepAlive: true }), there: new Agent({ keepAlive: true }) };
    try {
      while (life.running.has(here) && life.running.has(there)) {
        await liveOnce(life, { here, there, round, agents });
      }
    } catch (thrown) {
      const code = thrown instanceof CountersignError ? thrown.code : undefined;
      if (code !== 'ERR_WIRE_UNREACHABLE') life.told.surprises.push(`${code}: ${thrown}`);
      await wait(5);
    } finally {
      for (const agent of Object.values(agents)) agent.destroy();
    }
  }
}

/** One authority to enrol at, and one to renew at: another where there is one. */
function chosen({ running, index }: ClientLife, round: number): (Running | undefined)[] {
  const all = [...running];
  return [all[(index + round) % all.length], all[(index + round + 1) % all.length]];
}

/** Enrols, renews, and now and then revokes what it got. Whatever is answered is noted at once. */
async function liveOnce(
  life: ClientLife,
  places: {
    readonly here: Running;
    readonly there: Running;
    readonly round: number;
    readonly agents: { readonly here: Agent; readonly there: Agent };
  },
): Promise<void> {
  const { told, root } = life;
  const { here, there, round, agents } = places;
  const clientOf = ({ port }: Running, tls: object): AuthorityClient => {
    const url = `https://127.0.0.1:${port}`;
    return new AuthorityClient({ url, transport: httpsTransport(port, { ca: root, ...tls }) });
  };
  const note = ({ serial, chain: [leaf = new Uint8Array()] }: IssueResponse): void => {
    told.certificates.set(serial, leaf);
  };

  const operator = await adminClient(here.data);
  if (operator === undefined) return void (await wait(5));
  const spiffeId = `spiffe://example.com/ns/load/sa/client-${life.index}-${round}`;
  const { token } = await operator.createToken({ spiffeId, dns: [], ip: [] });
  const { csr, key } = await newRequest();
  const enrolled = await clientOf(here, { agent: agents.here }).enrol({ token, csr });
  note(enrolled);

  const identity: TestIdentity = identityOf(enrolled, key);
  const client = clientOf(there, { agent: false, cert: identity.cert, key: identity.key });
  note(await client.renew({ csr: (await newRequest()).csr }));
  if (Math.random() < 0.7) return;
  const order = { by: 'serial', value: enrolled.serial, reason: 'superseded' } as const;
  const report = await client.revoke({ ...order, block: false, dryRun: false, waitMs: 0 });
  told.revocations.add(report.position);
  told.revoked.add(enrolled.serial);
}
