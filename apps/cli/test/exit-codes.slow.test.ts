import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

// Each run has a log of its own, which is flushed at the end of the process.
process.setMaxListeners(0);

let directory = '';
const file = (name: string) => join(directory, name);

/** What no verb can read: no file, a directory, no format, PEM that is cut, DER that is. */
const unreadable: Readonly<Record<string, string | Uint8Array>> = {
  text: 'garbage\n',
  'cut.pem': '-----BEGIN CERTIFICATE-----\nMIIB',
  'certificate.pem': '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
  'request.pem': '-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n',
  'list.pem': '-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n',
  'cut.der': new Uint8Array([0x30, 0x82, 1]),
};

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
  for (const [name, content] of Object.entries(unreadable)) await writeFile(file(name), content);
  const init = ['init', '--config', file('ca.yaml'), '--data'];
  const away = [file('away'), '--offline-root', '--root-out', file('vault')];
  for (const more of [[file('state')], away]) {
    const made = await countersign([...init, ...more]);
    assert.equal(made.code, 0, made.stderr);
  }
  const data = ['--data', file('state')];
  const order = ['issue', ...data, '--spiffe-id', id('a'), '--out', file('a')];
  assert.equal((await countersign(order)).code, 0);
});

test('a file of the command line that cannot be read ends every verb with 2', async () => {
  const [ca, chain, nowhere] = [file('a/bundle.pem'), file('a/chain.pem'), 'https://127.0.0.1:1'];
  const key = `@${file('a/key.pem')}`;
  const verbs: readonly ((given: string) => readonly string[])[] = [
    (given) => ['inspect', given],
    (given) => ['verify', '--bundle', given, chain],
    (given) => ['verify', '--bundle', ca, '--crl', given, chain],
    (given) => ['verify', '--bundle', ca, '--untrusted', given, chain],
    (given) => ['policy', 'test', '--config', file('ca.yaml'), '--csr', given],
    (given) => ['policy', 'test', '--config', given, '--spiffe-id', id('a')],
    (given) => ['crl', '--data', file('state'), '--import', given],
    (given) => ['init', '--config', given, '--data', file('new')],
    (given) => ['init', '--data', file('away'), '--signed', given],
    (given) => ['sign', '--root', file('vault'), '--csr', given, '--out', file('signed.pem')],
    (given) => ['issue', '--data', file('state'), '--batch', given, '--out', file('new')],
    (given) => ['issue', '--data', file('state'), '--config', given, '--dns', 'a', '--dry-run'],
    (given) => ['revoke', '--ca', nowhere, '--cert', given, '--key', key],
    (given) => ['revoke', '--ca', nowhere, '--cert', chain, '--key', `@${given}`],
    (given) => ['enrol', '--ca', nowhere, '--token', `@${given}`, '--out', file('new')],
    (given) => ['renew', '--identity', given],
    (given) => ['log', 'prove', '--data', file('state'), given],
    (given) => ['log', 'verify', '--key', `@${given}`, '--proof', given, chain],
    (given) => ['authz', 'explain', '--policy', given],
    (given) => ['gateway', '--config', given],
    (given) => ['router', '--config', given],
    (given) => ['router', 'explain', '--config', given, '{ me }'],
    (given) => ['agent', '--config', given],
    (given) => ['restore', '--from', given, '--data', file('new')],
    (given) => ['ca', 'status', '--data', given],
    (given) => ['audit', 'verify', '--data', given],
    (given) => ['token', 'create', '--data', given, '--spiffe-id', id('a')],
  ];
  for (const name of [...Object.keys(unreadable), 'missing', '.']) {
    for (const verb of verbs) {
      const words = verb(file(name));
      // Where a directory is read for what it holds, one without is answered by what is missing in it.
      if (words[0] === 'sign' && name === '.') continue;
      const ran = await countersign(words);
      assert.equal(ran.code, 2, `${words.join(' ')}\n${ran.stdout}${ran.stderr}`);
      assert.match(ran.stderr, /\nhint: .+\nERR_\w+\n$/, words.join(' '));
    }
  }
});

test('what verify judges is refused where it is broken, and not read where it is of no kind', async () => {
  const judged = async (name: string) =>
    (await countersign(['verify', '--bundle', file('a/bundle.pem'), file(name)])).code;
  assert.deepEqual([await judged('certificate.pem'), await judged('cut.der')], [1, 1]);
  assert.deepEqual([await judged('text'), await judged('missing')], [2, 2]);
});
