import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { after, before, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { neverRevoked, type RevocationSource } from '@countersign/spiffe';
import { type Mutations, type TestCa, testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { bundleOf, routerWorld, serviceSvid, type World } from '../router-world.suite.ts';
import { type SubgraphSource, serveSubgraph, type TestSubgraph } from '../subgraph.suite.ts';

const hour = 3_600_000;

function source(name: string): SubgraphSource {
  return {
    name,
    sdl: `type Query { ${name}: String }`,
    resolvers: { Query: { [name]: () => `answer of ${name}` } },
  };
}

/** A subgraph with another certificate than it should have. */
function impostor(name: string, mutations: Mutations, service = name, other?: TestCa) {
  return async (ca: TestCa): Promise<TestSubgraph> => {
    const svid = serviceSvid(other ?? ca, service, mutations);
    return await serveSubgraph(source(name), { svid, bundle: bundleOf(ca) });
  };
}

/** Answers in plaintext where TLS is expected. */
async function plaintext(name: string): Promise<TestSubgraph> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ data: { [name]: 'in plaintext' } }));
  });
  return await listening(name, server);
}

async function selfSigned(name: string, mutations: Mutations): Promise<TestSubgraph> {
  const own = testCa({ name: 'localhost', ...mutations });
  const key = encodePrivateKey(own.privateKey);
  const server = createTlsServer({ key, cert: encodePem('CERTIFICATE', own.root.raw) });
  return await listening(name, server);
}

async function listening(
  name: string,
  server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>,
): Promise<TestSubgraph> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    ...{ name, port, sdl: source(name).sdl, url: `https://localhost:${port}/`, requests: [] },
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const now = systemClock.now();
const stranger = testCa({ name: 'somebody else' });
const impostors: Readonly<Record<string, (ca: TestCa) => Promise<TestSubgraph>>> = {
  wrongid: impostor('wrongid', {}, 'another'),
  wronghost: impostor('wronghost', { dns: ['elsewhere.example'] }),
  wrongdomain: impostor('wrongdomain', { uri: ['spiffe://other.org/ns/default/sa/wrongdomain'] }),
  expired: impostor('expired', { notBefore: now - 2 * hour, notAfter: now - hour }),
  untrusted: impostor('untrusted', {}, 'untrusted', stranger),
  revoked: impostor('revoked', {}),
  plain: () => plaintext('plain'),
  selfsigned: (ca) => {
    const uri = [serviceSvid(ca, 'selfsigned').spiffeId.toString()];
    const leaf = { isCa: false, keyUsage: ['digitalSignature'] } as const;
    return selfSigned('selfsigned', { uri, dns: ['localhost'], ...leaf });
  },
  // As `openssl req -x509` makes them: a CA, and a name alone.
  selfsignedca: () => selfSigned('selfsignedca', { dns: ['localhost'] }),
  selfsignedname: () =>
    selfSigned('selfsignedname', { isCa: false, keyUsage: ['digitalSignature'] }),
  healthy: async (ca) => {
    const svid = serviceSvid(ca, 'healthy');
    return await serveSubgraph(source('healthy'), { svid, bundle: bundleOf(ca) });
  },
};

const expectedReasons: Readonly<Record<string, string>> = {
  wrongid: 'wrong-id',
  wronghost: 'wrong-host',
  wrongdomain: 'wrong-trust-domain',
  expired: 'expired',
  untrusted: 'untrusted',
  revoked: 'revoked',
  plain: 'plaintext',
  selfsigned: 'self-signed',
  selfsignedca: 'self-signed',
  selfsignedname: 'self-signed',
};

const revocation: RevocationSource = {
  check(peer) {
    if (peer.spiffeId?.path !== '/ns/default/sa/revoked') return { status: 'good' };
    return { status: 'revoked', reason: 'keyCompromise', by: 'spiffe-id', at: now };
  },
};

let world: World;
before(async () => {
  const sources = Object.keys(impostors).map(source);
  world = await routerWorld({ sources, impostors, revocation });
});
after(() => world.close());

for (const [name, reason] of Object.entries(expectedReasons)) {
  test(`a subgraph that is ${reason} is told nothing: a reason for the operator, a code for the caller, data of the others`, async () => {
    const answer = await world.ask(`{ ${name} healthy }`);
    assert.deepEqual(answer.data, { [name]: null, healthy: 'answer of healthy' });
    const [error, ...more] = answer.errors ?? [];
    assert.deepEqual(more, []);
    assert.deepEqual(error?.path, [name]);
    const { code, id, ...rest } = error?.extensions ?? {};
    assert.equal(code, 'ERR_SUBGRAPH_UNAVAILABLE');
    assert.deepEqual(rest, {});
    assert.doesNotMatch(error?.message ?? '', /certificate|spiffe|tls/i);
    const line = world.lines.find((each) => each.id === id);
    assert.equal(line?.reason, reason, line?.msg ?? 'no line');
    assert.equal(line?.subgraph, name);
    assert.deepEqual(world.subgraphs.get(name)?.requests, []);
  });
}

test('a subgraph in plaintext is asked only where that was chosen or allowed, and then it is logged', async () => {
  const sources = [source('plain')];
  const strict = { sources, impostors, yaml: '' };
  const lenient = ['plain', 'wrongid', 'untrusted'];
  const lax = await routerWorld({
    ...strict,
    sources: lenient.map(source),
    entries: Object.fromEntries(lenient.map((name) => [name, 'mtls: { allow_fallback: true }'])),
  });
  try {
    const answer = await lax.ask('{ plain }');
    assert.deepEqual(answer.data, { plain: 'in plaintext' });
    assert.ok(lax.lines.some(({ msg, level }) => level === 'warn' && /falling back/.test(msg)));
    assert.equal(lax.router.status().subgraphs[0]?.plaintextFallbacks, 1);
    for (const name of ['wrongid', 'untrusted']) {
      assert.equal((await lax.ask(`{ ${name} }`)).data?.[name], null);
    }
    const fallbacks = lax.router.status().subgraphs.map((each) => each.plaintextFallbacks);
    assert.deepEqual(fallbacks, [1, 0, 0]);
  } finally {
    await lax.close();
  }
  const chosen = await routerWorld({ sources, plaintext: true });
  try {
    assert.deepEqual((await chosen.ask('{ plain }')).data, { plain: 'answer of plain' });
    assert.ok(chosen.lines.some(({ msg }) => /switched off/.test(msg)));
  } finally {
    await chosen.close();
  }
});

test('an http URL is refused at start where mTLS is on', async () => {
  const http = async (): Promise<TestSubgraph> => ({
    ...(await plaintext('plain')),
    url: 'http://localhost:1/',
  });
  const started = routerWorld({ sources: [source('plain')], impostors: { plain: http } });
  await assert.rejects(started, { code: 'ERR_ROUTER_PLAINTEXT' });
});

test('rotations under load: no request fails, and old connections end', async () => {
  const rotating = await routerWorld({ sources: [source('one')], revocation: neverRevoked });
  try {
    let isOver = false;
    const failed: unknown[] = [];
    let answered = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const answer = await rotating.ask('{ one }');
        answered += 1;
        if (answer.errors !== undefined) failed.push(answer.errors);
      }
    });
    for (let i = 0; i < 10; i += 1) {
      const before = answered;
      while (answered < before + 8) await systemClock.sleep(1);
      rotating.identity.rotate();
    }
    isOver = true;
    await Promise.all(load);
    assert.deepEqual(failed, []);
    assert.ok(answered > 80);
    while (rotating.router.status().connections.subgraphs > 8) await systemClock.sleep(5);
  } finally {
    await rotating.close();
  }
});
