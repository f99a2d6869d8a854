import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeBundle } from '@countersign/spiffe';
import {
  type ForeignCommand,
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
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const run = async (code: number, ...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, code, ran.stderr + ran.stdout);
    return ran.stdout;
  };
  const state = ['--data', file('state')];
  const registrars = `api: { registrars: ["${id('keeper')}"] }\n`;
  writeFileSync(file('ca.yaml'), authorityYaml() + registrars);
  await run(0, 'init', '--config', file('ca.yaml'), ...state);
  const serve = ['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'];
  const authority = await startCountersign(t, serve);
  const token = await run(0, 'token', 'create', ...state, '--spiffe-id', id('keeper'));
  const at = ['--ca', authority.urls[0] ?? '', '--token', token.trim()];
  await run(0, 'enrol', ...at, '--out', file('keeper'));
  const keep = async (code: number, text: string) => {
    writeFileSync(file('keep.yaml'), `keep: { identity: keeper }\ncertificates:\n${text}`);
    const words = ['keep', '--config', file('keep.yaml'), '--once', '-o', 'json'];
    return JSON.parse(await run(code, ...words, '--log-level', 'silent'))[0];
  };

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
      const stale = await keep(1, entry);
      assert.equal(stale.code, 'ERR_KEEP_UNPROVED');
      assert.match(stale.message, /it serves serial [0-9a-f]+, expected serial/);
      return;
    }
    const proved = await keep(0, `${entry}    command: ${how.command}\n`);
    assert.deepEqual([proved.did, proved.probe], ['ordered', 'proved']);
    assert.equal((await keep(0, `${entry}    command: ${how.command}\n`)).did, 'nothing');
  } finally {
    await server.stop();
  }
}
