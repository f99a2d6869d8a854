import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { makeBundle, type PublicJwk } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { foreignTool } from '../test/foreign-tool.ts';
import { agentWorld, entryFor, myService, secondService } from './agent-world.suite.ts';

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
    const features = 'x509-source,jwt-source,jwt-verify-rust-crypto';
    const words = ['test', '--offline', '--features', features];
    const tests = ['workload_api_client', 'x509_source', 'jwt_source'];
    const chosen = tests.flatMap((name) => ['--test', name]);
    const said = await runAgainstAgent(
      t,
      'cargo',
      [...words, ...chosen, '--', '--ignored'],
      directory,
    );
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
  cwd?: string,
): Promise<string> {
  const federatesWith = [federated];
  const world = await agentWorld([
    entryFor(myService, { hint: 'myservice', federatesWith }),
    entryFor(secondService, { hint: 'myservice2', federatesWith }),
  ]);
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'f1', alg: 'ES256' } as PublicJwk;
  world.agent.bundles.put({ ...makeBundle(federated, [testCa().root]), jwtKeys: [jwk] });
  await world.agent.settled;
  const rotating = setInterval(() => world.agent.renewAll(), 500);
  const { RUST_BACKTRACE: _, ...env } = process.env;
  const child = spawn(command, words, {
    ...(cwd !== undefined && { cwd }),
    env: { ...env, SPIFFE_ENDPOINT_SOCKET: `unix://${world.agent.socket}` },
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
