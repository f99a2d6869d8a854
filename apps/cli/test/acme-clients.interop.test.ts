import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from './countersign.ts';
import { inOwnNetwork, lacksOwnNetwork } from './own-network.ts';

const foreign = join(homedir(), '.cache', 'countersign-foreign');
const built = (name: string) => join(foreign, 'bin', name);
const scripts = join(import.meta.dirname, 'foreign');
const doors = join(import.meta.dirname, '..', '..', '..', 'examples', 'doors', 'run.sh');
const challtestsrv = built('pebble-challtestsrv');
const acmeSh = join(foreign, 'acme.sh', 'usr', 'share', 'acme.sh', 'acme.sh');
const timeoutMs = 400_000;

function lacks(...files: readonly string[]): string | false {
  const missing = [challtestsrv, ...files].find((each) => !existsSync(each));
  if (missing !== undefined) return `no ${missing} (.ci/foreign-tools builds it)`;
  return lacksOwnNetwork();
}

function lacksCommand(command: string): string | false {
  const found = spawnSync(command, ['--version'], { timeout: 30_000 }).error === undefined;
  return found ? lacks() : `no ${command} (Debian: apt-get install ${command})`;
}

/** A client's script at the doors of the example, by itself in a network. `takes`: ports that it listens on itself. */
async function atTheDoors(
  t: unknown,
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const T = await temporaryDirectory(t as never);
  const given = { T, TMPDIR: T, DOORS: doors, CHALLTESTSRV: challtestsrv, ...env };
  const begin = readFileSync(join(scripts, 'acme-clients', 'begin.bash'), 'utf8');
  const { code, said } = await inOwnNetwork(`${begin}\n${script}`, given, timeoutMs);
  assert.equal(code, 0, said);
  return said;
}

const ownPorts = '-http01= -https01= -tlsalpn01= -doh=';
const scriptOf = (name: string) => readFileSync(join(scripts, 'acme-clients', name), 'utf8');

const walked: readonly (readonly [string, string, string | false, Record<string, string>])[] = [
  ['acme.sh', 'acme.sh.bash', lacks(acmeSh), { ACME_SH: acmeSh, CHALLTESTSRV_PORTS: ownPorts }],
  [
    "Debian's lego",
    'lego.bash',
    lacksCommand('lego'),
    { LEGO: 'lego', CHALLTESTSRV_PORTS: ownPorts },
  ],
  [
    'lego 4.35',
    'lego.bash',
    lacks(built('lego-4.35')),
    { LEGO: built('lego-4.35'), CHALLTESTSRV_PORTS: ownPorts },
  ],
  ['certbot', 'certbot.bash', lacksCommand('certbot'), { CHALLTESTSRV_PORTS: ownPorts }],
  ['uacme', 'uacme.bash', lacksCommand('uacme'), {}],
  ['dehydrated', 'dehydrated.bash', lacksCommand('dehydrated'), {}],
];
for (const [who, script, skip, env] of walked) {
  test(`${who} registers, takes certificates by each challenge that it speaks, renews and revokes`, {
    skip,
  }, async (t) => {
    await atTheDoors(t, scriptOf(script), env);
  });
}

const goClient = built('acme-go-client');
test('golang.org/x/crypto/acme goes all the way, by its new calls and those before', {
  skip: lacks(goClient),
}, async (t) => {
  const said = await atTheDoors(t, `${goClient} "$ACME_DIR" http://localhost:8055 "$ACME_CA"`);
  for (const each of ['http-01', 'dns-01', 'tls-alpn-01']) {
    assert.match(said, new RegExp(`^issued ${each}\\.go\\.example\\.test$`, 'm'));
  }
  assert.match(said, /^alternate 2$/m);
  for (const each of ['revoked by the account', 'revoked by its key', 'deactivated']) {
    assert.match(said, new RegExp(`^${each}$`, 'm'));
  }
});

const npmClient = join(foreign, 'acme-client');
test("npm's acme-client goes all the way", {
  skip: lacks(join(npmClient, 'node_modules', 'acme-client')),
}, async (t) => {
  const program = `"${process.execPath}" "${join(scripts, 'acme_client.mjs')}" "${npmClient}"`;
  const said = await atTheDoors(
    t,
    `NODE_EXTRA_CA_CERTS="$ACME_CA" ${program} "$ACME_DIR" http://localhost:8055`,
  );
  assert.match(said, /^issued tls-alpn-01 alpn\.npm\.example\.test/m);
  assert.match(said, /^another key\nrevoked\ndeactivated$/m);
});

const eggsampler = built('eggsampler-acme.test');
const suite = (env: string) => `${env} ${eggsampler} -test.v -test.timeout 5m`;

test("eggsampler/acme's own tests pass at the doors, none skipped", {
  skip: lacks(eggsampler),
}, async (t) => {
  const script = `mkdir -p "$T/pebble/test/certs" && cp "$ROOTS" "$T/pebble/test/certs/pebble.minica.pem"
cd "$F/eggsampler"
${suite('PEBBLE_PATH="$T/pebble" ACME_DIRECTORY="$ACME_DIR"')}`;
  const said = await atTheDoors(t, script, { F: foreign });
  assert.deepEqual(verdicts(said), { PASS: 69, FAIL: 0, SKIP: 0 }, said.slice(-4000));
});

const pebbleConfig = {
  ...{ listenAddress: '0.0.0.0:14000', managementListenAddress: '0.0.0.0:15000' },
  ...{ certificate: 'cert.pem', privateKey: 'key.pem', httpPort: 5002, tlsPort: 5001 },
  ...{ keyAlgorithm: 'ecdsa', domainBlocklist: ['blocked-domain.example'] },
  retryAfter: { authz: 3, order: 5 },
  profiles: {
    default: { description: 'as usual', validityPeriod: 7_776_000 },
    shortlived: { description: 'short', validityPeriod: 518_400 },
  },
};

/** A `pebble` as others start it, in a directory of its own. */
function pebbleIn(directory: string): string {
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  const command = join(import.meta.dirname, '..', 'bin', 'countersign-pebble.js');
  const text = `#!/bin/sh\nexec "${process.execPath}" "${command}" "$@"\n`;
  writeFileSync(join(bin, 'pebble'), text, { mode: 0o755 });
  return bin;
}

test("eggsampler/acme's own tests pass with countersign-pebble, none skipped", {
  skip: lacks(eggsampler),
}, async (t) => {
  const T = await temporaryDirectory(t as never);
  const bin = pebbleIn(T);
  writeFileSync(join(T, 'pebble.json'), JSON.stringify({ pebble: pebbleConfig }));
  const script = `cd "$T"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -keyout key.pem -out cert.pem \\
  -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
mkdir -p pebble/test/certs && cp cert.pem pebble/test/certs/pebble.minica.pem
${challtestsrv} -defaultIPv6 "" >/dev/null 2>&1 &
PEBBLE_VA_NOSLEEP=1 PEBBLE_ALTERNATE_ROOTS=1 bin/pebble -config pebble.json -strict -dnsserver localhost:8053 >out 2>err &
until grep -qs ^ready out; do kill -0 $! || { cat err; exit 7; }; sleep 0.1; done
cd "$F/eggsampler"
${suite('PEBBLE_PATH="$T/pebble"')}`;
  const { code, said } = await inOwnNetwork(script, { T, F: foreign, bin }, timeoutMs);
  assert.equal(code, 0, said);
  assert.deepEqual(verdicts(said), { PASS: 69, FAIL: 0, SKIP: 0 }, said.slice(-4000));
});

const instantAcme = join(foreign, 'instant-acme');
test("instant-acme's own tests pass with countersign-pebble", {
  skip: lacks(join(instantAcme, 'pebble-tests')),
}, async (t) => {
  const T = await temporaryDirectory(t as never);
  const bin = pebbleIn(T);
  const script = `cd "${instantAcme}" && ./pebble-tests --ignored --test-threads=1`;
  const env = { PEBBLE: join(bin, 'pebble'), CHALLTESTSRV: challtestsrv };
  const { said } = await inOwnNetwork(script, env, timeoutMs);
  assert.match(said, /^test result: ok\. 14 passed; 0 failed; 0 ignored/m, said.slice(-4000));
});

const lego = join(foreign, 'lego');
test("lego's own end-to-end tests pass with countersign-pebble, those with keys of 1024 bits too", {
  skip: lacks(built('lego-e2e.test'), built('lego-e2e-dns.test')),
}, async (t) => {
  const T = await temporaryDirectory(t as never);
  const bin = pebbleIn(T);
  const PATH = `${bin}:${join(foreign, 'bin')}:${process.env.PATH}`;
  const GOFLAGS = '-buildvcs=false';
  const env = { PATH, GOFLAGS, LEGO_E2E_TESTS: 'yes' };
  // Its own waits between two names by DNS are a minute.
  const script = `cd "${lego}/e2e" && lego-e2e.test -test.v
cd dnschallenge && lego-e2e-dns.test -test.v -test.run 'DNSHelp|DNS_Run'`;
  const { said } = await inOwnNetwork(script, env, timeoutMs);
  assert.deepEqual(verdicts(said), { PASS: 19, FAIL: 0, SKIP: 0 }, said.slice(-4000));
});

function verdicts(said: string): Readonly<Record<'PASS' | 'FAIL' | 'SKIP', number>> {
  const of = (word: string) => said.match(new RegExp(`^--- ${word}: `, 'gm'))?.length ?? 0;
  return { PASS: of('PASS'), FAIL: of('FAIL'), SKIP: of('SKIP') };
}
