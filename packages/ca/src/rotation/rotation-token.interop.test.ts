import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CountersignError, noLog, systemClock, toHex } from '@countersign/base';
import { postgresServer } from '@countersign/testkit';
import type { AuthorityClient } from '@countersign/wire';
import { parseCertificate } from '@countersign/x509';
import { request } from '../../test/authority-under-test.ts';
import { makeSoftToken, softModule } from '../../test/soft-token.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { adminClient } from '../serve/admin-client.ts';

const module = softModule();
const database =
  'missing' in module
    ? { skip: module.missing }
    : await postgresServer({ given: process.env.DATABASE_URL });
const program = fileURLToPath(new URL('../../test/serve-process.ts', import.meta.url));
const name = 'two authorities over one ledger, each with a token of its own';

if ('missing' in module || 'skip' in database) {
  const skip = 'skip' in database ? database.skip : 'no token';
  process.stderr.write(`skipped: ${skip}\n`);
  it(name, { skip }, () => {});
} else {
  describe(name, () => {
    const token = makeSoftToken(module.path, 'issuing');
    const secrets = { env: { DATABASE_URL: database.url } };
    let home = '';
    const children: ChildProcess[] = [];
    const at = (file: string) => join(home, file);
    let [one, two]: [AuthorityClient, AuthorityClient] = [undefined as never, undefined as never];

    before(async () => {
      home = await mkdtemp(join(tmpdir(), 'countersign-tokens-'));
      await writeFile(at('pin'), `${token.pin}\n`, { mode: 0o600 });
      const yaml = `
ca:
  hsm: { module: ${token.module}, token_label: issuing, pin: "@${at('pin')}", timeout: 10s }
  root: { curve: P-256 }
  intermediate: { services: { curve: P-256, storage: HSM } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
ledger: { postgres: { url_env: DATABASE_URL, schema: tokens_${process.pid} } }
`;
      await writeFile(at('ca.yaml'), yaml);
      const config = parseCaConfig(yaml, 'ca.yaml');
      const shared = { secrets, clock: systemClock, log: noLog };
      await initAuthority({ config, data: at('one'), configText: yaml, ...shared });
      // The second has what the first has now, and none of the keys that it makes from here on.
      await cp(at('one'), at('two'), { recursive: true });
      await cp(token.tokens, at('tokens'), { recursive: true });
      const conf = await readFile(token.env.SOFTHSM2_CONF, 'utf8');
      await writeFile(at('two.conf'), conf.replace(token.tokens, at('tokens')));
      one = await serve('one', token.env.SOFTHSM2_CONF);
      two = await serve('two', at('two.conf'));
    });
    after(async () => {
      for (const child of children) {
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      await database.close();
      token.remove();
      await rm(home, { recursive: true, force: true });
    });

    async function serve(data: string, conf: string): Promise<AuthorityClient> {
      const env = { ...process.env, ...secrets.env, SOFTHSM2_CONF: conf };
      const stdio = ['ignore', 'pipe', 'inherit'] as ['ignore', 'pipe', 'inherit'];
      const child = spawn(process.execPath, [program, at('ca.yaml'), at(data)], { env, stdio });
      children.push(child);
      const [ready] = await once(child.stdout, 'data');
      assert.match(String(ready), /^ready /);
      const client = await adminClient(at(data));
      assert.ok(client !== undefined);
      return client;
    }

    /** The key of who signed it, or the code of the refusal. */
    async function issuerBy(client: AuthorityClient): Promise<string> {
      const csr = await request();
      const spiffeId = 'spiffe://example.com/a';
      const issued = await answerOf(client.issue({ csr, spiffeId, dns: [], ip: [] }));
      if (typeof issued === 'string') return issued;
      const [, issuer] = issued.chain;
      return toHex(parseCertificate(issuer!).spki.raw);
    }

    it('has the one that lacks a new key stop before the old one is retired, and go on once it has it', {
      timeout: 240_000,
    }, async () => {
      const first = await issuerBy(two);
      assert.doesNotMatch(first, /^ERR_/);
      for (const step of ['prepare', 'activate'] as const) {
        await one.rotate({ step, authority: 'services' });
      }
      const next = await issuerBy(one);
      assert.doesNotMatch(next, /^ERR_/);
      assert.notEqual(next, first);
      const retire = () =>
        answerOf(one.rotate({ step: 'retire', authority: 'services', force: true }));
      assert.equal(await retire(), 'ERR_ROTATION_STEP');

      // Meanwhile it says what is wrong, and issues by what it has.
      while ((await two.status()).findings?.length === 0) await systemClock.sleep(100);
      const [finding] = (await two.status()).findings ?? [];
      assert.match(finding?.detail ?? '', /"services\.2" sign, is not in force here/);

      while (typeof (await retire()) === 'string') await systemClock.sleep(200);
      for (let i = 0; i < 10; i += 1) assert.equal(await issuerBy(two), 'ERR_ROTATION_BEHIND');
      assert.equal(await issuerBy(one), next);

      // Whoever runs it brings the key there.
      await cp(token.tokens, at('tokens'), { recursive: true, force: true });
      while ((await issuerBy(two)) !== next) await systemClock.sleep(200);
    });
  });
}

async function answerOf<T>(asked: Promise<T>): Promise<T | string> {
  try {
    return await asked;
  } catch (thrown) {
    if (thrown instanceof CountersignError) return thrown.code;
    throw thrown;
  }
}
