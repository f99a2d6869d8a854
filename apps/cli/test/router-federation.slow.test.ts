import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { followWorkloadApi, readIdentity } from '@countersign/identity';
import { makeSvid } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { authorityYaml, id } from './authority-files.ts';
import { startCountersign, temporaryDirectory } from './countersign.ts';
import { run, serveWho, startAuthority } from './trust-domains.ts';

const skip = process.platform === 'linux' ? false : 'the agent runs on Linux alone';
const partnerId = (name: string) => `spiffe://partner.org/${name}`;
const router = id('ns/default/sa/router');

test('a subgraph of a foreign trust domain is asked, through a new root there, and nobody else for it', {
  skip,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  // 1. two authorities, an agent of the one that follows the bundle of the other
  const home = await startAuthority(t, file('home'), authorityYaml());
  const foreignYaml = authorityYaml().replaceAll('example.com', 'partner.org');
  const partner = await startAuthority(t, file('partner'), foreignYaml);
  const subgraphId = partnerId('ns/default/sa/b');
  const issueForeign = async (to: string) => {
    const names = ['--dns', 'b.prod.partner.org', '--ip', '127.0.0.1', '--out', file(to)];
    await run('issue', ...partner.state, '--spiffe-id', subgraphId, ...names);
    return await readIdentity(file(to));
  };
  const before = await issueForeign('b');
  await writeFile(
    file('agent.yaml'),
    `agent: { socket: agent.sock }
federation:
  - trust_domain: partner.org
    bundle_file: b/bundle.pem
    bundle_endpoint:
      url: ${partner.url}/v1/bundle
      profile: https_spiffe
      endpoint_spiffe_id: ${partnerId('countersign/ca')}
`,
  );
  const token = await run('token', 'create', ...home.state, '--spiffe-id', id('agent'));
  await startCountersign(t, [
    ...['agent', '--config', file('agent.yaml'), '--ca', home.url, '--token', token],
  ]);
  await run(
    ...['entry', 'create', ...home.state, '--agent', id('agent'), '--spiffe-id', router],
    ...['--selector', `unix:uid:${process.getuid?.()}`, '--federates-with', 'partner.org'],
  );
  await run('issue', ...home.state, '--spiffe-id', id('a'), '--out', file('a'));
  const { bundle: homeBundle } = await readIdentity(file('a'));

  // 2. a subgraph there, and one of a trust domain that nobody follows
  const subgraph = await serveWho(t, before.svid, homeBundle);
  const third = testCa().svid('spiffe://third.org/ns/default/sa/c', { ip: ['127.0.0.1'] });
  const stranger = await serveWho(t, makeSvid(third.chain, third.privateKey), homeBundle);
  const entries = [
    ['partner', subgraph.port, subgraphId],
    ['posing', subgraph.port, id('ns/default/sa/b')],
    ['unfollowed', stranger.port, 'spiffe://third.org/ns/default/sa/c'],
  ] as const;
  for (const [name] of entries) {
    await writeFile(file(`${name}.graphql`), `type Query { ${name}: String }`);
  }
  await writeFile(
    file('router.yaml'),
    `mtls: { trust_domain: example.com }
authority: { workload_api: "unix://${file('agent.sock')}", spiffe_id: ${router} }
subgraphs:
${entries
  .map(
    ([name, port, expected]) =>
      `  - { name: ${name}, url: "https://127.0.0.1:${port}/", schema: ${name}.graphql, spiffe_id: ${expected} }`,
  )
  .join('\n')}
`,
  );
  const started = await startCountersign(
    t,
    ['router', '--config', file('router.yaml'), '--port', '0'],
    { timeoutMs: 240_000 },
  );
  const ask = async (field: string) => {
    const response = await fetch(`${started.urls[0]}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: `{ ${field} }` }),
    });
    return (await response.json()) as { data: Record<string, string | null> };
  };

  // 3. who proves to be it is asked, and no other trust domain is taken for it
  assert.deepEqual(await ask('partner'), { data: { partner: router } });
  assert.deepEqual((await ask('posing unfollowed')).data, { posing: null, unfollowed: null });
  assert.match(started.stderr(), /"subgraph":"posing"[^\n]*"reason":"wrong-(id|trust-domain)"/);
  assert.match(started.stderr(), /"subgraph":"unfollowed"[^\n]*"reason":"wrong-trust-domain"/);

  // 4. a new root there: its certificates are known, those of the old one no more once it is retired
  const address = `unix://${file('agent.sock')}`;
  const told = { address, spiffeId: router, clock: systemClock, log: noLog };
  const live = await followWorkloadApi(told);
  t.after(() => live.stop());
  await run('root', 'prepare', ...partner.state);
  // Who follows from afar is in no count of the authority: the bundle with both has to come around first.
  const until = AbortSignal.timeout(60_000);
  while (live.bundle('partner.org')?.authorities.length !== 2) {
    until.throwIfAborted();
    await systemClock.sleep(50);
  }
  await run('root', 'activate', ...partner.state, '--force');
  const after = await issueForeign('b2');
  subgraph.serveBy(after);
  const answers = async (expected: string | null) => {
    const until = AbortSignal.timeout(60_000);
    while ((await ask('partner')).data.partner !== expected) {
      until.throwIfAborted();
      await systemClock.sleep(100);
    }
  };
  await answers(router);
  await run('root', 'retire', ...partner.state, '--force');
  subgraph.serveBy(before);
  await answers(null);
  subgraph.serveBy(after);
  assert.deepEqual(await ask('partner'), { data: { partner: router } });
});
