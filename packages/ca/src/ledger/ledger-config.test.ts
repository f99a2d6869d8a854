import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import type { ConfigError } from '@countersign/config';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import { Client } from 'pg';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-ledger-config-'));
after(() => rmSync(directory, { recursive: true }));

const head = `ca: {}
service_certificates:
  san_policies:
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['*.prod.internal']
`;
const parse = (ledger: string) => parseCaConfig(`${head}${ledger}`, 'ca.yaml');

describe('ledger in ca.yaml', () => {
  it('is a file unless it says otherwise', () => {
    assert.equal(parse('').ledger.postgres, undefined);
  });

  it('archives what ended 90 days ago, unless it says otherwise', () => {
    const day = 86_400_000;
    const usual = { enabled: true, keepMs: 90 * day, everyMs: day / 24 };
    assert.deepEqual(parse('').ledger.retention, usual);
    const other = parse('ledger: { retention: { enabled: false, keep: 8760h, every: 6h } }').ledger;
    assert.deepEqual(other.retention, { enabled: false, keepMs: 365 * day, everyMs: day / 4 });
    assert.throws(() => parse('ledger: { retention: { keep: 1h } }'), {
      message: /ledger\.retention\.keep: "1h" is not between "168h" and/,
    });
    const short =
      'publish: { url: "http://a.example", crl: {} }\nledger: { retention: { keep: 168h } }';
    assert.throws(() => parse(short), { message: /"168h" is shorter than "720h"/ });
  });

  it('takes the address from a file, a variable, or as it stands', () => {
    assert.deepEqual(parse('ledger: { postgres: { url: "@/run/secrets/url" } }').ledger.postgres, {
      url: { from: 'file', path: '/run/secrets/url' },
      schema: 'countersign',
      timeoutMs: 5000,
      pollMs: 50,
    });
    const text = `ledger:
  postgres: { url_env: DATABASE_URL, schema: ca_prod, timeout: 10s, poll: 20ms }
`;
    assert.deepEqual(parse(text).ledger.postgres, {
      url: { from: 'environment', variable: 'DATABASE_URL' },
      schema: 'ca_prod',
      timeoutMs: 10_000,
      pollMs: 20,
    });
    const plain = parse('ledger: { postgres: { url: postgres://ca@db/ledger } }');
    assert.deepEqual(plain.notices, parse('').notices);
    const open = parse('ledger: { postgres: { url: "postgres://ca:hunter2@db/ledger" } }');
    assert.ok(open.notices.some((notice) => /holds the password/.test(notice)));
    assert.ok(!open.notices.join().includes('hunter2'));
  });

  const refusals: readonly [what: string, text: string, expected: RegExp][] = [
    ['no address', 'postgres: {}', /ca\.yaml:7:3: ledger\.postgres: the address .* is missing/],
    ['two addresses', 'postgres: { url: "@/a", url_env: B }', /7:3: .* exclude each other/],
    ['a relative file', 'postgres: { url: "@secret" }', /7:20: .* relative path "secret"/],
    ['another database', 'postgres: { url: "mysql://hunter2@db" }', /7:20: .* expected postgres:/],
    ['a schema of odd letters', 'postgres: { url: "@/a", schema: "A b" }', /7:35: .*schema/],
    ['a long poll', 'postgres: { url: "@/a", poll: 2s }', /7:33: .* "2s" is not between "5ms" and/],
    ['an unknown key', 'postgre: {}', /7:3: unknown key "postgre" in ledger, .* "postgres"/],
  ];
  for (const [what, text, expected] of refusals) {
    it(`refuses ${what}, with its place and without what may be secret`, () => {
      assert.throws(
        () => parse(`ledger:\n  ${text}\n`),
        (thrown: ConfigError) => {
          assert.match(thrown.message, expected);
          assert.ok(!thrown.message.includes('hunter2'));
          return true;
        },
      );
    });
  }
});

const found = await postgresServer({ given: process.env.DATABASE_URL });

if ('skip' in found) it('authority over postgres', { skip: found.skip }, () => {});
else authorities(found);

function authorities(server: PostgresServer): void {
  after(() => server.close());
  const shared = { clock: systemClock, log: noLog, meter: noMeter };
  const secrets = { env: { DATABASE_URL: server.url } };

  describe('authority over postgres', () => {
    it('is initialised into an empty schema, opened by every copy of its directory, and by no other', async () => {
      const schema = `authority_${process.pid}`;
      const config = parse(`ledger: { postgres: { url_env: DATABASE_URL, schema: ${schema} } }`);
      const [data, other] = [join(directory, 'state'), join(directory, 'other')];
      await initAuthority({ config, data, secrets, ...shared });
      const replicas = await Promise.all([
        openAuthority({ config, data, secrets, ...shared }),
        openAuthority({ config, data, secrets, ...shared }),
      ]);
      const statuses = await Promise.all(replicas.map((replica) => replica.ledger.status()));
      const position = statuses[0]?.position ?? 0;
      assert.ok(position > 0);
      assert.equal(statuses[1]?.position, position);
      for (const replica of replicas) await replica.close();

      await assert.rejects(initAuthority({ config, data: other, secrets, ...shared }), {
        code: 'ERR_STATE_EXISTS',
        message: new RegExp(`schema "${schema}" holds a ledger of ${position} records`),
      });
      const fileConfig = parse('');
      await assert.rejects(openAuthority({ config: fileConfig, data, secrets, ...shared }), {
        code: 'ERR_STATE_CONFIG',
        message: /configured as a file, the state was made with PostgreSQL/,
      });
      const elsewhere = parse(
        `ledger: { postgres: { url_env: DATABASE_URL, schema: ${schema}_2 } }`,
      );
      await assert.rejects(openAuthority({ config: elsewhere, data, secrets, ...shared }), {
        code: 'ERR_STATE_BROKEN',
        message: /holds no ledger, the state was made with one/,
      });
    });

    it('is refused over a ledger that was emptied and is not made anew', async () => {
      const schema = `emptied_${process.pid}`;
      const config = parse(`ledger: { postgres: { url_env: DATABASE_URL, schema: ${schema} } }`);
      const data = join(directory, 'emptied');
      await initAuthority({ config, data, secrets, ...shared });
      const client = new Client({ connectionString: server.url });
      await client.connect();
      try {
        await client.query(`TRUNCATE ${schema}.certificates, ${schema}.intents`);
        const lost = { code: 'ERR_STATE_BROKEN', message: /does not know serial/ };
        await assert.rejects(openAuthority({ config, data, secrets, ...shared }), lost);
        await client.query(`DROP SCHEMA ${schema} CASCADE`);
        for (const attempt of [1, 2]) {
          await assert.rejects(
            openAuthority({ config, data, secrets, ...shared }),
            { code: 'ERR_STATE_BROKEN', message: /holds no ledger/ },
            `attempt ${attempt}`,
          );
        }
      } finally {
        await client.end();
      }
    });

    it('says which variable or file lacks the address', async () => {
      const variable = parse('ledger: { postgres: { url_env: NOWHERE } }');
      const data = join(directory, 'none');
      await assert.rejects(initAuthority({ config: variable, data, secrets, ...shared }), {
        message: /address of the ledger's database from environment variable "NOWHERE": it is not/,
      });
      const file = join(directory, 'url');
      writeFileSync(file, `${server.url.replace('/postgres', '/absent')}\n`);
      const config = parse(`ledger: { postgres: { url: "@${file}" } }`);
      await assert.rejects(
        initAuthority({ config, data, secrets, ...shared }),
        (thrown: unknown) =>
          thrown instanceof CountersignError && thrown.code === 'ERR_LEDGER_UNAVAILABLE',
      );
    });
  });
}
