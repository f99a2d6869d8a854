import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { denial } from '@countersign/base';
import type { AcmeClient } from '../../test/acme-client.ts';
import { AcmeWorld, localhost } from '../../test/acme-under-test.ts';
import { request } from '../../test/authority-under-test.ts';
import { dns, EstWorld, estRequest } from '../../test/est-under-test.ts';
import { requestPem, VaultWorld } from '../../test/vault-under-test.ts';
import type { AuditSaid } from '../ledger/audit-trail.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { IssueLine } from './issue-line.ts';

/** What the audit trail and the ledger say of a door: of what was issued, and of what was refused. */
async function saidOf(ledger: Ledger) {
  const rows = await ledger.auditAfter(0, 10_000);
  const said = rows.map((row) => ({ ...row, said: JSON.parse(row.said) as AuditSaid }));
  const refused = said.flatMap((row) => (row.said.what === 'refused' ? [row.said] : []));
  const issued: { by: string | undefined; provisioner: string; evidence: string | undefined }[] =
    [];
  for (const record of await ledger.recordsAfter(0, 10_000)) {
    if (record.kind !== 'issued') continue;
    const found = await ledger.certificate(record.serialHex);
    const row = said.find(({ position }) => position === record.position);
    const intent = said.find(({ position }) => position === found?.intent);
    issued.push({
      by: row?.said.by ?? intent?.said.by,
      provisioner: found?.provisioner ?? '',
      evidence: found?.grantedBy,
    });
  }
  return { issued, refused };
}

function has(
  { issued, refused }: Awaited<ReturnType<typeof saidOf>>,
  wanted: { provisioner: string; by: RegExp; evidence: RegExp; code: RegExp; about?: RegExp },
) {
  const { provisioner, by, evidence, code } = wanted;
  const granted = issued.find((each) => each.provisioner === provisioner);
  assert.match(granted?.by ?? 'nobody', by, JSON.stringify(issued));
  assert.match(granted?.evidence ?? 'nothing', evidence);
  const denied = refused.find((each) => code.test(each.code ?? ''));
  assert.ok(denied, JSON.stringify(refused));
  assert.equal(denied.provisioner, provisioner, JSON.stringify(denied));
  assert.match(denied.by ?? 'nobody', by, JSON.stringify(denied));
  assert.match(denied.subject ?? 'nothing', wanted.about ?? evidence, JSON.stringify(denied));
}

describe('the audit trail says by which provisioner and on which evidence, of what was refused too', () => {
  it('of ACME: the account and the order', async (t) => {
    const world = await AcmeWorld.start();
    t.after(() => world.end());
    const acme = await world.registered();
    const { order } = await world.proved(acme);
    const csr = await request({ names: [{ kind: 'dns', value: 'localhost' }] });
    await acme.post(order.finalize, { csr: Buffer.from(csr).toString('base64url') });
    const identifiers = [{ type: 'dns', value: 'evil.invalid' }];
    const refused = await acme.post(acme.directory.newOrder, { identifiers });
    assert.match(refused.text, /rejectedIdentifier/);
    const said = await saidOf(world.authority.ledger);
    const id = acme.kid.split('/').at(-1);
    has(said, {
      ...{ provisioner: 'acme', by: new RegExp(`^acme:${id}$`) },
      ...{ evidence: /^acme order /, code: /POLICY/, about: /dns:evil\.invalid/ },
    });
  });

  it('of EST: the user', async (t) => {
    const world = await EstWorld.start();
    t.after(() => world.close());
    await world.must('simpleenroll', {
      csr: () => estRequest({ names: [dns('a.example.test')] }),
    });
    await world.ask('simpleenroll', {
      csr: () => estRequest({ names: [dns('evil.invalid')] }),
    });
    has(await saidOf(world.api.authority.ledger), {
      ...{ provisioner: 'est', by: /^est:user\/alice$/ },
      ...{ evidence: /^est user "alice"$/, code: /POLICY/ },
    });
  });

  it("of Vault's API: how they logged in, by which token", async (t) => {
    const world = await VaultWorld.start();
    t.after(() => world.close());
    await world.must('POST', 'pki/roles/any', { allow_any_name: true, key_type: 'ec' });
    const token = await world.tokenFor('path "pki/sign/any" { capabilities = ["update"] }');
    const sign = async (common_name: string) =>
      await world.ask('POST', 'pki/sign/any', { csr: await requestPem(), common_name }, { token });
    await sign('a.example.test');
    await sign('evil.invalid');
    has(await saidOf(world.authority.ledger), {
      ...{ provisioner: 'vault', by: /^vault:token\// },
      ...{ evidence: /^vault pki\/sign\/any by token /, code: /POLICY/ },
    });
  });
});

/** Where nobody gets a place until it is opened. */
function fullLine(): IssueLine & { isOpen: boolean } {
  const line: IssueLine & { isOpen: boolean } = {
    isOpen: false,
    async serve(_, work) {
      if (line.isOpen) return await work();
      return denial('ERR_API_BUSY', 'the line is full', { retryAfterS: 7 });
    },
  };
  return line;
}

/** Where everybody waits until it is opened. */
function heldLine() {
  const [coming, opening] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    hasCome: coming.promise,
    open: opening.resolve,
    async serve<T>(_: object, work: () => T | Promise<T>): Promise<T> {
      coming.resolve();
      await opening.promise;
      return await work();
    },
  };
}

const errors = 'urn:ietf:params:acme:error';

describe('a door that is asked for more than can be issued', () => {
  it('of ACME leaves the order ready for another try', async (t) => {
    const line = fullLine();
    const world = await AcmeWorld.start(line);
    t.after(() => world.end());
    const acme = await world.registered();
    const { order } = await world.proved(acme);
    const names = [{ kind: 'dns', value: 'localhost' }] as const;
    const csr = Buffer.from(await request({ names: [...names] })).toString('base64url');
    const refused = await acme.post(order.finalize, { csr });
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['retry-after'], '7');
    assert.match(refused.body.type, /:rateLimited$/);
    line.isOpen = true;
    const made = await acme.post(order.finalize, { csr });
    assert.equal(made.body.status, 'valid', made.text);
  });

  it('of ACME gives no place in line to an order that is not proved', async (t) => {
    const world = await AcmeWorld.start(fullLine());
    t.after(() => world.end());
    const acme = await world.registered();
    const names = [{ kind: 'dns', value: 'localhost' }] as const;
    const csr = Buffer.from(await request({ names: [...names] })).toString('base64url');
    const made = await acme.post(acme.directory.newOrder, { identifiers: localhost });
    const refused = await acme.post(made.body.finalize, { csr });
    assert.deepEqual([refused.status, refused.body.type], [403, `${errors}:orderNotReady`]);
  });

  for (const [what, deactivate, told] of [
    [
      'an authorization',
      async (_: AcmeClient, authorization: string) => authorization,
      'orderNotReady',
    ],
    ['the account', async ({ kid }: AcmeClient) => kid ?? '', 'unauthorized'],
  ] as const) {
    it(`of ACME issues nothing for ${what} that was deactivated while its order waited`, async (t) => {
      const line = heldLine();
      const world = await AcmeWorld.start(line);
      t.after(() => world.end());
      const acme = await world.registered();
      const { order } = await world.proved(acme);
      const names = [{ kind: 'dns', value: 'localhost' }] as const;
      const csr = Buffer.from(await request({ names: [...names] })).toString('base64url');
      const finalised = acme.post(order.finalize, { csr });
      await line.hasCome;
      const url = await deactivate(acme, order.authorizations[0]);
      assert.equal((await acme.post(url, { status: 'deactivated' })).status, 200);
      line.open();
      const answer = await finalised;
      assert.equal(answer.body.type, `${errors}:${told}`, answer.text);
    });
  }

  it('of EST says when to come again', async (t) => {
    const full = { abreast: 0, patientMs: -1, hastyMs: -1 };
    const world = await EstWorld.start(undefined, full);
    t.after(() => world.close());
    const csr = () => estRequest({ names: [dns('a.example.test')] });
    const { status, headers } = await world.ask('simpleenroll', { csr });
    assert.equal(status, 503);
    assert.match(String(headers['retry-after']), /^\d+$/);
  });

  it("of Vault's API answers as Vault does that is overloaded", async (t) => {
    const line = fullLine();
    const world = await VaultWorld.start(undefined, '', line);
    t.after(() => world.close());
    await world.must('POST', 'pki/roles/any', { allow_any_name: true, key_type: 'ec' });
    const body = { csr: await requestPem(), common_name: 'a.example.test' };
    const { status, body: told } = await world.ask('POST', 'pki/sign/any', body);
    assert.equal(status, 503);
    assert.deepEqual(told.errors, ['more requests than can be worked off, try again later']);
    line.isOpen = true;
    await world.must('POST', 'pki/sign/any', body);
  });
});
