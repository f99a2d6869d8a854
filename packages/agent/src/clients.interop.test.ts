import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '@countersign/base';
import { makeBundle, type PublicJwk } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { foreignTool } from '../test/foreign-tool.ts';
import {
  agentWorld,
  authorityDouble,
  entryFor,
  myService,
  secondService,
} from './agent-world.suite.ts';

const goClient = foreignTool('bin/go-spiffe-client');
const python = foreignTool('spiffe/bin/python');
const rust = foreignTool('rust-spiffe/ready');
const script = `${import.meta.dirname}/../test/foreign/python_spiffe.py`;
const federated = 'example-federated.org';

describe('the libraries of others, unchanged, through three rotations without a reset', () => {
  it('go-spiffe: X.509 and JWT sources, spiffetls, and what it asks of the WIT-SVID profile', {
    skip: goClient.skip,
  }, async (t) => {
    const said = await runAgainstAgent(t, goClient.path, []);
    assert.deepEqual(JSON.parse(said), {
      ids: [myService, secondService],
      hints: ['myservice', 'myservice2'],
      bundles: 2,
      rotations: 3,
      errors: [],
      hellos: JSON.parse(said).hellos,
      jwt: myService,
      validated: myService,
      wit: 'Unimplemented',
      refused: 'PermissionDenied',
    });
    assert.ok(JSON.parse(said).hellos >= 4);
  });

  it('the Python package spiffe: client, streams and both sources', {
    skip: python.skip,
  }, async (t) => {
    const said = await runAgainstAgent(t, python.path, ['-W', 'ignore', script]);
    assert.deepEqual(JSON.parse(said), {
      ids: [myService, secondService],
      federated: true,
      rotations: 3,
      errors: [],
      source: myService,
      jwt: myService,
      jwtKeys: 1,
    });
  });

  it('the Rust crate spiffe: its own tests against a live server', {
    skip: rust.skip,
  }, async (t) => {
    const directory = rust.path.replace(/\/ready$/, '');
    const features = 'workload-api,x509-source,jwt-source,jwt-verify-rust-crypto';
    const words = ['test', '--offline', '--features', features];
    const tests = ['workload_api_client', 'x509_source', 'jwt_source'];
    const chosen = tests.flatMap((name) => ['--test', name]);
    // One test is for a socket at SPIRE's own path, whatever the environment says.
    const only = ['--ignored', '--skip', 'test_custom_endpoint'];
    // As it was built, so that nothing is built again.
    const built = readFileSync(rust.path, 'utf8').trim();
    const said = await runAgainstAgent(t, 'cargo', [...words, ...chosen, '--', ...only], {
      // They expect that nothing changes while they look.
      rotates: false,
      cwd: directory,
      ...(built !== '' && { OPENSSL_NO_VENDOR: built }),
    });
    const results = [...said.matchAll(/test result: (\w+)\. (\d+) passed; (\d+) failed/g)];
    assert.equal(results.length, tests.length, said);
    assert.ok(
      results.every(([, word, passed]) => word === 'ok' && Number(passed) > 0),
      said,
    );
    t.diagnostic(results.map(([whole]) => whole).join(', '));
  });
});

/** What a program prints whose SPIFFE_ENDPOINT_SOCKET is that of an agent, which renews every certificate twice a second. */
async function runAgainstAgent(
  t: TestContext,
  command: string,
  words: readonly string[],
  options: {
    readonly rotates?: boolean;
    readonly cwd?: string;
    readonly OPENSSL_NO_VENDOR?: string;
  } = {},
): Promise<string> {
  const { rotates = true, cwd, ...more } = options;
  const federatesWith = [federated];
  const entries = [
    entryFor(myService, { hint: 'myservice', federatesWith }),
    entryFor(secondService, { hint: 'myservice2', federatesWith }),
  ];
  // The crate's tests expect chains of one certificate, as of an authority whose root signs.
  const world = await agentWorld(entries, authorityDouble(systemClock, true));
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'f1', alg: 'ES256' } as PublicJwk;
  world.agent.bundles.put({ ...makeBundle(federated, [testCa().root]), jwtKeys: [jwk] });
  await world.agent.settled;
  const rotating = rotates ? setInterval(() => world.agent.renewAll(), 500) : undefined;
  const { RUST_BACKTRACE: _, ...env } = process.env;
  const child = spawn(command, words, {
    ...(cwd !== undefined && { cwd }),
    env: { ...env, ...more, SPIFFE_ENDPOINT_SOCKET: `unix://${world.agent.socket}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(async () => {
    child.kill('SIGKILL');
    clearInterval(rotating);
    await world.close();
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  return stdout;
}
