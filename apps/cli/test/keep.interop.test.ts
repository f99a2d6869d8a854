import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeBundle } from '@countersign/spiffe';
import {
  type ForeignCommand,
  foreignPackage,
  mariadbCommand,
  postgresCommand,
  redisCommand,
  startForeign,
} from '@countersign/testkit';
import { certificatesFromPem, decodePrivateKey } from '@countersign/x509';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const nobody = process.getuid?.() === 0 ? ', owner: nobody, group: nogroup' : '';

test('PostgreSQL serves what keep wrote once it is told to read its files again', async (t) => {
  const command = await postgresCommand();
  if (typeof command === 'string') return t.skip(command);
  await served(t, command, 'postgres', ({ pid, directory }) => ({
    place: join(directory, 'data'),
    command: `["kill", "-HUP", "${pid}"]`,
  }));
});

test('PostgreSQL takes the user of a certificate that keep wrote, by its common name alone', async (t) => {
  const command = await postgresCommand();
  const pg = await foreignPackage<PgForTest>('pg');
  if (typeof command === 'string' || typeof pg === 'string') {
    return t.skip(String(typeof command === 'string' ? command : pg));
  }
  // Users of a database are no hosts below a domain: the intermediate is for other names than services have.
  const kept = await keeperOf(
    t,
    authorityYaml()
      .replace(', nameConstraints: { permitted: [.prod.example.com] }', '')
      .replace("['*.prod.example.com']", '[payments, postgres]'),
  );
  const entries = ['db', 'postgres', 'payments', 'other']
    .map((name) => {
      const common = name === 'payments' || name === 'postgres' ? `    common_name: ${name}\n` : '';
      const localhost = name === 'db' ? '    ip: [127.0.0.1]\n' : '';
      return `  - name: ${name}\n    spiffe_id: ${id(`ns/prod/sa/${name}`)}\n${common}${localhost}`;
    })
    .join('');
  await kept.keep(0, entries);
  const read = (name: string) => readFileSync(kept.file(name), 'utf8');
  const server = await startForeign(command, {
    svid: {
      chain: certificatesFromPem(read('db/chain.pem')),
      privateKey: decodePrivateKey(read('db/key.pem')),
    },
    bundle: makeBundle('example.com', certificatesFromPem(read('db/bundle.pem'))),
  });
  t.after(() => server.stop());
  const asked = async (name: string, user: string, query: string) => {
    const ssl = {
      ca: read(`${name}/bundle.pem`),
      cert: read(`${name}/chain.pem`),
      key: read(`${name}/key.pem`),
    };
    const { port } = server;
    const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres', ssl });
    try {
      await client.connect();
      return (await client.query(query)).rows[0];
    } finally {
      await client.end();
    }
  };
  await asked('postgres', 'postgres', 'CREATE ROLE payments LOGIN');
  const who = 'SELECT current_user AS who';
  assert.deepEqual(await asked('payments', 'payments', who), { who: 'payments' });
  await assert.rejects(asked('payments', 'postgres', who), /certificate authentication failed/);
  await assert.rejects(asked('other', 'payments', who), /certificate/);
  // Renewed for another key, the name stays; and it is nobody's whom the policy does not name.
  await kept.keep(
    0,
    entries.replaceAll('common_name: payments', 'common_name: payments\n    key: { type: p384 }'),
  );
  assert.deepEqual(await asked('payments', 'payments', who), { who: 'payments' });
  const stranger = entries.replaceAll('common_name: payments', 'common_name: admin');
  assert.match(JSON.stringify(await kept.keep(1, stranger)), /ERR_KEEP_REFUSED/);
});

test('Redis serves what keep wrote once it is told to read its files again', async (t) => {
  const command = redisCommand();
  if (typeof command === 'string') return t.skip(command);
  if (spawnSync('redis-cli', ['--version']).status !== 0) return t.skip('no redis-cli');
  await served(t, command, 'tls', ({ port, directory }) => {
    const at = (name: string) => join(directory, name);
    const tls = `--tls --cert ${at('chain.pem')} --key ${at('key.pem')} --cacert ${at('bundle.pem')}`;
    const set = ['cert-file chain.pem', 'key-file key.pem'].map((each) => {
      const [name, file = ''] = each.split(' ');
      return `tls-${name} ${at(file)}`;
    });
    return {
      place: directory,
      command: JSON.stringify(`redis-cli -p ${port} ${tls} --insecure config set ${set.join(' ')}`),
    };
  });
});

test('MariaDB is asked in its own protocol which certificate it serves', async (t) => {
  const command = mariadbCommand('');
  if (typeof command === 'string') return t.skip(command);
  // Without a command it goes on serving the one of before.
  await served(t, command, 'mysql', ({ directory }) => ({ place: directory, command: undefined }));
});

/** A server that began with one certificate, and the next one that keep brings it. */
async function served(
  t: TestContext,
  command: ForeignCommand,
  protocol: string,
  howOf: (server: { pid: number; port: number; directory: string }) => {
    readonly place: string;
    readonly command: string | undefined;
  },
): Promise<void> {
  const { file, keep } = await keeperOf(t);
  const names = `  - name: db\n    spiffe_id: ${id('ns/prod/sa/db')}\n`;
  await keep(0, names);
  const read = (name: string) => readFileSync(file(`db/${name}`), 'utf8');
  const server = await startForeign(command, {
    svid: {
      chain: certificatesFromPem(read('chain.pem')),
      privateKey: decodePrivateKey(read('key.pem')),
    },
    bundle: makeBundle('example.com', certificatesFromPem(read('bundle.pem'))),
  });
  try {
    const how = howOf(server);
    const outputs = ['key', 'chain'].map(
      (format) =>
        `{ path: ${join(how.place, `${format}.pem`)}, format: ${format}, mode: "0600"${nobody} }`,
    );
    const entry = `${names}    key: { type: p384 }\n    files: [${outputs.join(', ')}]
    probe: { connect: "localhost:${server.port}", protocol: ${protocol}, within: ${how.command === undefined ? '1s' : '30s'} }\n`;
    if (how.command === undefined) {
      const [stale] = await keep(1, entry);
      assert.equal(stale.code, 'ERR_KEEP_UNPROVED');
      assert.match(stale.message, /it serves serial [0-9a-f]+, expected serial/);
      return;
    }
    const [proved] = await keep(0, `${entry}    command: ${how.command}\n`);
    assert.deepEqual([proved.did, proved.probe], ['ordered', 'proved']);
    const [again] = await keep(0, `${entry}    command: ${how.command}\n`);
    assert.equal(again.did, 'nothing');
  } finally {
    await server.stop();
  }
}

/** A keeper that may order for others, and its authority. */
async function keeperOf(t: TestContext, yaml = authorityYaml()) {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const run = async (code: number, ...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, code, ran.stderr + ran.stdout);
    return ran.stdout;
  };
  const state = ['--data', file('state')];
  const registrars = `api: { registrars: ["${id('keeper')}"] }\n`;
  writeFileSync(file('ca.yaml'), yaml + registrars);
  await run(0, 'init', '--config', file('ca.yaml'), ...state);
  const serve = ['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'];
  const authority = await startCountersign(t, serve);
  const token = await run(0, 'token', 'create', ...state, '--spiffe-id', id('keeper'));
  const at = ['--ca', authority.urls[0] ?? '', '--token', token.trim()];
  await run(0, 'enrol', ...at, '--out', file('keeper'));
  const keep = async (code: number, text: string) => {
    writeFileSync(file('keep.yaml'), `keep: { identity: keeper }\ncertificates:\n${text}`);
    const words = ['keep', '--config', file('keep.yaml'), '--once', '-o', 'json'];
    return JSON.parse(await run(code, ...words, '--log-level', 'silent'));
  };
  return { file, keep };
}

interface PgForTest {
  readonly Client: new (
    config: object,
  ) => {
    connect(): Promise<void>;
    query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
    end(): Promise<void>;
  };
}
