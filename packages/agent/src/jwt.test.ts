import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PublicJwk } from '@countersign/spiffe';
import { Metadata, status } from '@grpc/grpc-js';
import {
  type AgentWorld,
  agentWorld,
  callOnce,
  endOf,
  entryFor,
  myService,
  nextMessage,
  openStream,
  outage,
  secondService,
} from './agent-world.suite.ts';
import { workloadMessages } from './serve/workload-messages.ts';

const { jwtSvidResponse, jwtBundlesResponse, validateJwtSvidResponse } = workloadMessages;
const federated = 'example-federated.org';
const key: PublicJwk = { kty: 'EC', crv: 'P-256', kid: 'k2', x: 'AA', y: 'AA' };

describe('JWT-SVIDs of the Workload API', () => {
  let world: AgentWorld;
  before(async () => {
    world = await agentWorld([
      entryFor(myService, { hint: 'myservice', federatesWith: [federated] }),
      entryFor(secondService, { jwtTtlMs: 60_000 }),
    ]);
    world.agent.bundles.put({ trustDomain: federated, authorities: [], jwtKeys: [key] });
  });
  after(() => world.close());
  const fetchTokens = async (audience: string[], spiffeId = '') =>
    jwtSvidResponse.decode(await callOnce(world.client(), 'fetchJwtSvid', { audience, spiffeId }));
  const refusalOf = async (name: 'fetchJwtSvid' | 'validateJwtSvid', request: object) =>
    callOnce(world.client(), name, request).then(
      () => assert.fail('it was answered'),
      (error: { code: number; details: string }) => error,
    );

  it('are fetched for every identity, or for the one that is named', async () => {
    const all = await fetchTokens(['db']);
    assert.deepEqual(
      all.svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
      [
        [myService, 'myservice'],
        [secondService, ''],
      ],
    );
    const one = await fetchTokens(['db'], secondService);
    assert.deepEqual(
      one.svids.map(({ spiffeId }) => spiffeId),
      [secondService],
    );
    assert.equal(one.svids[0]?.svid, all.svids[1]?.svid);
  });

  it('are ordered once for each audience, whatever its order, and kept through an outage', async () => {
    const before = world.authority.tokens;
    const [one] = (await fetchTokens(['a', 'b'], myService)).svids;
    world.authority.outage = outage();
    const [two] = (await fetchTokens(['b', 'a'], myService)).svids;
    assert.equal(one?.svid, two?.svid);
    assert.equal(world.authority.tokens, before + 1);
    const refused = await refusalOf('fetchJwtSvid', { audience: ['new'] });
    assert.equal(refused.code, status.UNAVAILABLE);
    world.authority.outage = undefined;
  });

  it('are refused without an audience, for somebody else, and without the header', async () => {
    const without = await refusalOf('fetchJwtSvid', { audience: [] });
    assert.equal(without.code, status.INVALID_ARGUMENT);
    assert.match(without.details, /audience must be specified/);
    for (const odd of ['\ufffd\ufffd', 'db\0']) {
      const unread = await refusalOf('fetchJwtSvid', { audience: [odd] });
      assert.equal(unread.code, status.INVALID_ARGUMENT);
    }
    const other = { audience: ['db'], spiffeId: 'spiffe://example.org/other' };
    assert.equal((await refusalOf('fetchJwtSvid', other)).code, status.PERMISSION_DENIED);
    const bare = callOnce(world.client(), 'fetchJwtSvid', { audience: ['db'] }, new Metadata());
    await assert.rejects(bare, { code: status.INVALID_ARGUMENT });
  });

  it('are validated by their audience, with all claims', async () => {
    const [svid] = (await fetchTokens(['db', 'cache'], myService)).svids;
    const request = { audience: 'cache', svid: svid?.svid };
    const answer = await callOnce(world.client(), 'validateJwtSvid', request);
    const { spiffeId, claims } = validateJwtSvidResponse.decode(answer);
    assert.equal(spiffeId, myService);
    const fields = claims.fields as Record<string, Record<string, unknown>>;
    assert.deepEqual(fields.sub, { stringValue: myService });
    assert.equal(typeof fields.exp?.numberValue, 'number');
    assert.deepEqual(fields.nested, {
      structValue: {
        fields: {
          list: {
            listValue: {
              values: [{ numberValue: 1 }, { boolValue: true }, { nullValue: 'NULL_VALUE' }],
            },
          },
        },
      },
    });
  });

  it('are refused by whom they are not for, and where anything of them was changed', async () => {
    const [svid] = (await fetchTokens(['db'], myService)).svids;
    const token = svid?.svid ?? '';
    for (const [request, code] of [
      [{ audience: 'web', svid: token }, /ERR_JWT_AUDIENCE/],
      [{ audience: 'db', svid: `${token.slice(0, -4)}AAAA` }, /ERR_JWT_(?:SIGNATURE|FORM)/],
      [{ audience: 'db', svid: 'no token' }, /ERR_JWT_FORM/],
      [{ audience: 'db' }, /svid must be specified/],
      [{ svid: token }, /audience must be specified/],
    ] as const) {
      const refused = await refusalOf('validateJwtSvid', request);
      assert.equal(refused.code, status.INVALID_ARGUMENT);
      assert.match(refused.details, code);
      assert.ok(!refused.details.includes(token));
    }
  });

  it('of a trust domain without certificates leave its name out of X.509 bundles', async () => {
    const stream = openStream(world.client(), 'fetchX509Bundles');
    const { bundles } = workloadMessages.x509BundlesResponse.decode(await nextMessage(stream));
    stream.cancel();
    assert.deepEqual(Object.keys(bundles), ['spiffe://example.org']);
  });

  it('are verified by the bundles that are streamed, foreign ones too, and again when they change', async () => {
    const stream = openStream(world.client(), 'fetchJwtBundles');
    const first = jwtBundlesResponse.decode(await nextMessage(stream)).bundles;
    assert.deepEqual(
      Object.keys(first).sort(),
      [`spiffe://${federated}`, 'spiffe://example.org'].sort(),
    );
    const kids = (bytes: Uint8Array | undefined) =>
      JSON.parse(Buffer.from(bytes ?? []).toString()).keys.map((each: PublicJwk) => each.kid);
    assert.deepEqual(kids(first['spiffe://example.org']), ['k1']);
    assert.deepEqual(kids(first[`spiffe://${federated}`]), ['k2']);
    const jwtKeys = [{ ...key, kid: 'k3' }];
    world.agent.bundles.put({ trustDomain: federated, authorities: [], jwtKeys });
    const second = jwtBundlesResponse.decode(await nextMessage(stream)).bundles;
    assert.deepEqual(kids(second[`spiffe://${federated}`]), ['k3']);
    const ended = endOf(stream);
    world.agent.setEntries([]);
    assert.equal((await ended).code, status.PERMISSION_DENIED);
  });
});
