import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CountersignError, equalBytes, noLog, systemClock } from '@countersign/base';
import type { AuthorityClient, IssueResponse } from '@countersign/wire';
import { parseCaConfig } from '../src/ca-config.ts';
import { initAuthority } from '../src/init-authority.ts';
import { auditLedger } from '../src/ledger/audit-ledger.ts';
import { openLedger } from '../src/ledger/open-ledger.ts';
import { verifyAudit } from '../src/ledger/verify-audit.ts';
import { adminClient } from '../src/serve/admin-client.ts';
import { readStateManifest, stateLayout } from '../src/state-layout.ts';
import { caYaml, newRequest } from './api-under-test.ts';
import { PublishedListsAuditor } from './published-lists-auditor.ts';

export interface FaultyOptions {
  /** Where its data directory is made; the system's directory for temporary files unless given. */
  readonly under?: string;
  /** A database for its ledger, as the authority is to reach it, and as the auditor is. */
  readonly database?: { readonly url: string; readonly auditUrl: string; readonly schema: string };
}

/**
 * An authority in a process of its own to which things happen, what its callers were told, and whether that is still true
 * afterwards.
 */
export class FaultyAuthority {
  readonly data: string;
  readonly #configFile: string;
  readonly #options: FaultyOptions;
  readonly #directory: string;
  readonly #lists = new PublishedListsAuditor();
  readonly #certificates = new Map<string, Uint8Array>();
  readonly #revocations = new Set<number>();
  #child: ChildProcess | undefined;
  #lines: AsyncIterator<string> | undefined;
  #issued = 0;

  private constructor(options: FaultyOptions) {
    this.#options = options;
    this.#directory = mkdtempSync(join(options.under ?? tmpdir(), 'countersign-faults-'));
    this.data = join(this.#directory, 'state');
    this.#configFile = join(this.#directory, 'ca.yaml');
  }

  static async start(options: FaultyOptions = {}): Promise<FaultyAuthority> {
    const authority = new FaultyAuthority(options);
    writeFileSync(authority.#configFile, authority.#yaml);
    await initAuthority({ ...authority.#parts, data: authority.data });
    await authority.restart();
    return authority;
  }

  get acknowledged(): number {
    return this.#certificates.size + this.#revocations.size;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Ends the process with SIGKILL, where it still runs, and starts another. */
  async restart(): Promise<void> {
    await this.kill();
    const program = join(import.meta.dirname, 'fault-process.ts');
    const child = spawn(process.execPath, [program, this.#configFile, this.data], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, DATABASE_URL: this.#options.database?.url ?? '' },
    });
    this.#child = child;
    child.stdin?.on('error', () => {});
    assert.ok(child.stdout);
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.match(await this.#line(), /^ready /);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Tells the process one thing, and answers what it says. */
  async tell(words: string): Promise<string> {
    this.#child?.stdin?.write(`${words}\n`);
    return this.#line();
  }

  /** Why its health check fails, or `well`. */
  health(): Promise<string> {
    return this.tell('health');
  }

  /** Issues one, and revokes every third; what is answered is noted. Answers the code of the refusal, or `ok`. */
  async work(): Promise<string> {
    try {
      const client = await this.#client();
      const { csr } = await newRequest();
      const spiffeId = `spiffe://example.com/ns/load/sa/${this.#issued++}`;
      const issued: IssueResponse = await client.issue({ csr, spiffeId, dns: [], ip: [] });
      this.#certificates.set(issued.serial, issued.chain[0] ?? new Uint8Array());
      if (this.#issued % 3 > 0) return 'ok';
      const order = { by: 'serial', value: issued.serial, reason: 'superseded' } as const;
      const report = await client.revoke({ ...order, block: false, dryRun: false, waitMs: 0 });
      this.#revocations.add(report.position);
      return 'ok';
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      return thrown.code;
    }
  }

  /** Works on until it is refused, and answers the code. */
  async workUntilRefused(): Promise<string> {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; ) {
      const answer = await this.work();
      if (answer !== 'ok') return answer;
    }
    return 'never refused';
  }

  async workTimes(times: number): Promise<void> {
    for (let i = 0; i < times; i += 1) assert.equal(await this.work(), 'ok');
    await this.#lists.read(this.data);
  }

  /** What its status finds, by what it is about. */
  async findings(): Promise<readonly string[]> {
    const { findings = [] } = await (await this.#client()).status();
    return findings.map(({ about, detail }) => `${about}: ${detail}`);
  }

  /**
   * Ends it, and audits what is there: everything acknowledged, nothing twice, trail and counters true.
   *
   * @returns how many intents stand open
   */
  async audit(): Promise<number> {
    await this.kill();
    const { ledger: state } = await readStateManifest(this.data);
    const { database } = this.#options;
    const parts = { ...this.#parts, secrets: { env: { DATABASE_URL: database?.auditUrl } } };
    const file = stateLayout(this.data).ledger;
    const ledger = await openLedger({ ...parts, config: parts.config.ledger, state, file });
    try {
      const told = { serials: this.#certificates.keys(), revocations: this.#revocations };
      const { findings, openIntents } = await auditLedger(ledger, told);
      const trail = await verifyAudit(ledger);
      assert.deepEqual([...findings, ...trail.findings], []);
      for (const [serial, der] of this.#certificates) {
        const found = await ledger.certificate(serial);
        assert.ok(found !== undefined && equalBytes(found.der, der), serial);
      }
      return openIntents;
    } finally {
      await ledger.close();
    }
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #yaml(): string {
    const { database } = this.#options;
    const where = `{ url_env: DATABASE_URL, schema: ${database?.schema}, timeout: 2s }`;
    return [
      caYaml,
      'publish: { url: "http://pki.example.com", crl: { coalesce: 100ms } }\n',
      database === undefined ? '' : `ledger: { postgres: ${where} }\n`,
    ].join('');
  }

  get #parts() {
    const config = parseCaConfig(this.#yaml, this.#configFile);
    const env = { DATABASE_URL: this.#options.database?.url };
    return { config, secrets: { env }, clock: systemClock, log: noLog };
  }

  async #client(): Promise<AuthorityClient> {
    const client = await adminClient(this.data);
    assert.ok(client, 'nobody serves');
    return client;
  }

  async #line(): Promise<string> {
    const { value } = (await this.#lines?.next()) ?? {};
    return typeof value === 'string' ? value : 'the process ended';
  }
}
