import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { parseBundleDocument, staticBundles, verifyPeer } from '@countersign/spiffe';
import { type BatchOrder, batchLimits } from '@countersign/wire';
import { attributeOf, formatGeneralName, parseCertificate } from '@countersign/x509';
import {
  caYaml,
  exchange,
  newRequest,
  type TestApi,
  type TestIdentity,
  testApi,
} from '../../test/api-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { ephemeralAuthority } from '../ephemeral-authority.ts';
import { exportAudit } from '../ledger/export-audit.ts';

const registrar = 'spiffe://example.com/ns/infra/sa/registrar';
const orders = 'spiffe://example.com/ns/prod/sa/orders';

const withRegistrar = `${caYaml}  registrars: [${registrar}]
policy:
  rules:
    - name: no-admins
      callers: [${registrar}]
      deny: ["dns:admin.prod.internal"]
`;

describe('a batch of orders', () => {
  let api: TestApi;
  let agent: TestIdentity;
  before(async () => {
    const config = parseCaConfig(withRegistrar, 'ca.yaml');
    const parts = { config, clock: systemClock, log: noLog };
    api = await testApi({ authority: await ephemeralAuthority(parts) });
    agent = await api.enrol(registrar);
  });
  after(() => api.close());

  async function orderFor(name: string, more: Partial<BatchOrder> = {}): Promise<BatchOrder> {
    const { csr } = await newRequest();
    const spiffeId = `spiffe://example.com/ns/prod/sa/${name}`;
    return { csr, own: false, spiffeId, dns: [`${name}.prod.internal`], ip: [], ...more };
  }

  it('is issued to a registrar, each by itself and in the order asked', async () => {
    const names = Array.from({ length: 150 }, (_, i) => `workload-${i}`);
    const asked = await Promise.all(names.map((name) => orderFor(name)));
    const { results, bundle, trustDomain } = await api.client(agent).issueBatch({ orders: asked });
    assert.equal(results.length, 150);
    const bundles = staticBundles(parseBundleDocument(JSON.stringify(bundle), trustDomain));
    for (const [index, result] of results.entries()) {
      assert.ok(result.ok);
      const chain = result.chain.map((der) => parseCertificate(der));
      const proved = verifyPeer({ chain, bundles, at: systemClock.now(), purpose: 'server' });
      assert.ok(proved.ok);
      assert.equal(proved.peer.spiffeId?.toString(), asked[index]?.spiffeId);
      assert.equal(chain[0]?.serialHex, result.serial);
      const record = await api.authority.ledger.certificate(result.serial);
      assert.equal(record?.provisioner, registrar);
      assert.equal(record?.grant, 'registrar');
      assert.equal(record?.grantedBy, agent.response.serial);
    }
  });

  it('answers a refusal in its place, with the words that its caller may know', async () => {
    const broken = await orderFor('broken', { csr: Uint8Array.of(0x30, 0x00) });
    const { results } = await api.client(agent).issueBatch({
      orders: [
        await orderFor('first'),
        await orderFor('admin'),
        broken,
        await orderFor('long', { ttlMs: 48 * 3_600_000 }),
        await orderFor('last'),
      ],
    });
    assert.deepEqual(
      results.map((each) => (each.ok ? 'issued' : each.code)),
      ['issued', 'ERR_POLICY_RULE', 'ERR_DER_TRUNCATED', 'ERR_POLICY_TTL', 'issued'],
    );
    const [, denied] = results;
    assert.ok(denied?.ok === false && denied.detail?.includes('rule "no-admins" denies'));
    const line = api.lines.find((each) => each.id === denied.id && each.order === 1);
    assert.equal(line?.caller, registrar);
    let trail = '';
    for await (const page of exportAudit(api.authority.ledger, 0)) trail += page;
    const noted = trail.split('\n').find((row) => row.includes('"ERR_POLICY_RULE"'));
    assert.equal(JSON.parse(noted ?? '{}').by, registrar);
  });

  it('renews the names of whoever calls, and orders for others by registrars alone', async () => {
    const workload = await api.enrol(orders);
    const own = async () => ({ csr: (await newRequest()).csr, own: true, dns: [], ip: [] });
    const { results } = await api.client(workload).issueBatch({
      orders: [await own(), await orderFor('payments'), await own()],
    });
    const [first, others, second] = results;
    assert.ok(first?.ok && second?.ok && first.serial !== second.serial);
    assert.equal(first.spiffeId, orders);
    assert.equal(others?.ok, false);
    assert.equal(others?.ok === false && others.code, 'ERR_API_FORBIDDEN');
  });

  it('has the common name that was ordered, judged as names are, and not as one of them', async () => {
    const order = { ...(await orderFor('named')), commonName: 'db.prod.internal' };
    const client = api.client(agent);
    const foreign = { ...order, commonName: 'db.example.net' };
    const { results } = await client.issueBatch({ orders: [order, foreign] });
    const [issued, refused] = results;
    assert.ok(issued?.ok);
    const { subject, subjectAltNames } = parseCertificate(issued.chain[0] ?? new Uint8Array());
    assert.equal(attributeOf(subject, 'CN'), 'db.prod.internal');
    assert.ok(!subjectAltNames.some((name) => formatGeneralName(name).includes('db.prod')));
    assert.equal(refused?.ok === false && refused.code, 'ERR_POLICY_DNS');
  });

  it('is taken on the admin socket, where nobody has names of its own', async () => {
    const operator = await api.operator();
    const { csr } = await newRequest();
    const { results } = await operator.issueBatch({
      orders: [await orderFor('by-operator'), { csr, own: true, dns: [], ip: [] }],
    });
    assert.equal(results[0]?.ok, true);
    assert.equal(results[1]?.ok === false && results[1].code, 'ERR_API_CERTIFICATE_NEEDED');
  });

  it('ends with the certificate of its registrar', async () => {
    const passing = await api.enrol(registrar);
    const client = api.client(passing);
    await client.issueBatch({ orders: [await orderFor('before')] });
    const { serial: value } = passing.response;
    await (await api.operator()).revoke({
      ...{ by: 'serial', value, reason: 'superseded', block: false, dryRun: false, waitMs: 0 },
    });
    const order = await orderFor('after');
    await assert.rejects(client.issueBatch({ orders: [order] }));
    assert.deepEqual(
      await api.authority.ledger.findCertificates({ spiffeId: order.spiffeId ?? '' }),
      [],
    );
  });

  it('has bounds, and tells a misspelt member', async () => {
    const headers = { 'content-type': 'application/json' };
    const { csr } = await newRequest();
    const one = { csr: Buffer.from(csr).toString('base64'), own: true };
    const ask = (body: unknown) =>
      exchange(api, {
        ...{ method: 'POST', path: '/v1/issue/batch', headers, identity: agent },
        body: JSON.stringify(body),
      });
    for (const [body, code] of [
      [{ orders: [] }, 'ERR_WIRE_MESSAGE'],
      [{ orders: Array(batchLimits.orders + 1).fill(one) }, 'ERR_WIRE_MESSAGE'],
      [{ orders: [{ ...one, dns: ['a.prod.internal'] }] }, 'ERR_WIRE_MESSAGE'],
      [{ orders: [{ ...one, spiffeid: orders }] }, 'ERR_WIRE_UNKNOWN_MEMBER'],
    ] as const) {
      const answer = await ask(body);
      assert.equal(answer.status, 400);
      assert.equal(JSON.parse(answer.text).code, code);
    }
    assert.equal((await ask({ orders: 'x'.repeat(3 * 1024 * 1024) })).status, 413);
  });
});
