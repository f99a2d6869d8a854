import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Secret, systemClock } from '@countersign/base';
import {
  awsDocument,
  awsRegion,
  azureDocument,
  azureService,
  azureTime,
  type DocumentSigner,
  gcpClaims,
} from '@countersign/testkit';
import { nonceOfKey } from '@countersign/wire';
import { formatGeneralName, keySigner, parseCertificate } from '@countersign/x509';
import { request, testAuthority } from '../../test/authority-under-test.ts';
import { signedToken, tokenHierarchy } from '../../test/token-provisioners.ts';
import type { Authority } from '../authority.ts';
import { ProvisionerDesk } from './provisioner-desk.ts';

const subscription = '8d10da13-8125-4ba9-a717-bf7490507b3d';
const tenant = 'https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/';
const yaml = (at: string) => `${tokenHierarchy}
policy:
  rules:
    - { name: no bastion, callers: ['aws:ec2/i-bad*'], deny: ['dns:**.example.test'] }
provisioners:
  - name: ec2
    type: aws
    certificates_file: ${at}/aws.pem
    claims: { accountId: '123456789012', region: ['eu-*'] }
    max_instance_age: 1h
    spiffe_id: spiffe://example.com/aws/{accountId}/{instanceId}
    dns: ['{instanceId}.example.test']
    lifetime: 2h
  - name: again
    type: aws
    certificates_file: ${at}/aws.pem
    claims: { accountId: '999999999999' }
    reusable: true
    requests_per_hour: 3
    spiffe_id: spiffe://example.com/again/{instanceId}
  - name: gce
    type: gcp
    jwks_file: ${at}/jwks.json
    audiences: [countersign]
    claims: { project_id: shop, zone: 'europe-west3-*', email: web@shop.iam.gserviceaccount.com }
    max_instance_age: 1h
    spiffe_id: spiffe://example.com/gcp/{project_id}/{instance_name}
  - name: vms
    type: azure
    roots_file: ${at}/azure.pem
    claims: { subscriptionId: ${subscription} }
    spiffe_id: spiffe://example.com/azure/{vmId}
  - name: identities
    type: azure
    issuer: ${tenant}
    jwks_file: ${at}/jwks.json
    audiences: ['api://countersign']
    claims: { subscriptionId: ${subscription}, resourceGroup: shop }
    reusable: true
    spiffe_id: spiffe://example.com/azure/{resourceGroup}/{name}
`;

const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });

function token(claims: object): string {
  const now = Math.floor(Date.now() / 1000);
  const whole = { iat: now, exp: now + 300, aud: 'countersign', ...claims };
  return signedToken({ alg: 'RS256' }, whole, pair.privateKey);
}

describe('documents of clouds, of their shape and signed by keys of the test', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-documents-'));
  const file = (name: string, text: string) => writeFileSync(join(directory, name), text);
  let authority: Authority;
  let desk: ProvisionerDesk;
  let aws: DocumentSigner;
  let azure: DocumentSigner;

  before(async () => {
    aws = await awsRegion();
    azure = await azureService('westeurope.metadata.azure.com');
    file('aws.pem', `${(await awsRegion()).pem}${aws.pem}`);
    file('azure.pem', azure.pem);
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig' };
    file('jwks.json', JSON.stringify({ keys: [jwk] }));
    authority = await testAuthority({ yaml: yaml(directory) });
    desk = new ProvisionerDesk(authority, systemClock);
  });
  after(async () => {
    await authority.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function enrol(text: string, csr?: Uint8Array) {
    return await desk.enrol({ token: new Secret(text), csr: csr ?? (await request()) });
  }

  async function issuedFor(text: string, csr?: Uint8Array) {
    const answer = await enrol(text, csr);
    assert.ok(answer.ok, JSON.stringify(answer));
    const names = parseCertificate(answer.chain[0]).subjectAltNames.map(formatGeneralName);
    const record = await authority.ledger.certificate(answer.serialHex);
    return { names, record, answer };
  }

  async function refused(code: string, words: RegExp, text: string, csr?: Uint8Array) {
    const answer = await enrol(text, csr);
    assert.ok(!answer.ok, 'it was taken');
    assert.equal(answer.code, code, answer.detail);
    assert.match(answer.detail, words);
  }

  const awsText = async (changes: object = {}, by = aws) =>
    `aws:${await by.sign(awsDocument(changes))}`;

  it('an instance of AWS gets the names of its document, once', async () => {
    const text = await awsText({ instanceId: 'i-0123' });
    const { names, record, answer } = await issuedFor(text);
    assert.deepEqual(names, [
      'uri:spiffe://example.com/aws/123456789012/i-0123',
      'dns:i-0123.example.test',
    ]);
    assert.equal(record?.provisioner, 'ec2');
    assert.equal(record?.grantedBy, 'aws document of instance "i-0123" in account "123456789012"');
    assert.ok(answer.notAfter <= Date.now() + 2 * 3_600_000);
    await refused('ERR_PROVISIONER_USED', /machine "123456789012\/i-0123" came/, text);
  });

  it('of another account, region, age or key get nothing', async () => {
    const code = 'ERR_PROVISIONER_CLAIMS';
    await refused(code, /"accountId" of the token is "1"/, await awsText({ accountId: '1' }));
    await refused(
      code,
      /"region"/,
      await awsText({ region: 'us-east-1', accountId: '123456789012' }),
    );
    const pendingTime = '2026-01-01T00:00:00Z';
    await refused(code, /old, provisioner "ec2" takes those of 1h/, await awsText({ pendingTime }));
    await refused(code, /of unknown age/, await awsText({ pendingTime: undefined }));
    await refused('ERR_PROVISIONER_CLAIMS', /instanceId/, await awsText({ instanceId: 'i/../x' }));
    await refused('ERR_POLICY_RULE', /no bastion/, await awsText({ instanceId: 'i-bad1' }));
    const stranger = await awsRegion();
    await refused('ERR_PROVISIONER_TOKEN', /names none of the/, await awsText({}, stranger));
    await refused('ERR_PROVISIONER_DOCUMENT', /no base64/, 'aws:!');
    await refused('ERR_PROVISIONER_DOCUMENT', /no signed data/, 'aws:MAA=');
  });

  it('of a machine that may come again are bounded by the hour', async () => {
    const text = await awsText({ accountId: '999999999999', pendingTime: undefined });
    for (let i = 0; i < 3; i += 1) await issuedFor(text);
    await refused('ERR_PROVISIONER_RATE', /may order 3 an hour/, text);
  });

  it('an instance of Google gets the names of its identity token, once', async () => {
    const { names, record } = await issuedFor(token(gcpClaims()));
    assert.deepEqual(names, ['uri:spiffe://example.com/gcp/shop/web-1']);
    assert.match(
      record?.grantedBy ?? '',
      /^gcp token of ".*", machine "shop\/152986662232938449"$/,
    );
    await refused('ERR_PROVISIONER_USED', /machine/, token(gcpClaims()));
    const code = 'ERR_PROVISIONER_CLAIMS';
    const of = (engine: object) => token(gcpClaims({}, engine));
    await refused(code, /"project_id"/, of({ project_id: 'other' }));
    await refused(code, /"zone"/, of({ zone: 'us-east1-b' }));
    await refused(code, /"email"/, token(gcpClaims({ email: 'x@y' })));
    await refused(code, /old/, of({ instance_creation_timestamp: 1_700_000_000 }));
    await refused('ERR_PROVISIONER_TOKEN', /format=full/, token(gcpClaims({ google: undefined })));
    await refused('ERR_PROVISIONER_TOKEN', /is for "x"/, token(gcpClaims({ aud: 'x' })));
  });

  it('a machine of Azure gets the names of attested data whose nonce is of its key', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signer = keySigner(privateKey);
    const csr = await request({ signer });
    const nonce = nonceOfKey(signer.spki.raw);
    assert.match(nonce, /^\d{10}$/);
    const text = async (changes: object = {}, of = nonce, by = azure) =>
      `azure:${await by.sign(azureDocument(of, { vmId: randomUUID(), ...changes }))}`;
    const vmId = '13f56399-bd52-4150-9748-7190aae1ff21';
    const good = await text({ vmId });
    const { names, record } = await issuedFor(good, csr);
    assert.deepEqual(names, [`uri:spiffe://example.com/azure/${vmId}`]);
    assert.equal(record?.provisioner, 'vms');
    await refused('ERR_PROVISIONER_USED', /machine/, good, csr);
    const code = 'ERR_PROVISIONER_TOKEN';
    await refused(code, /its nonce is/, good);
    await refused(code, /its nonce is "7"/, await text({}, '7'), csr);
    const at = (from: number, to: number) => ({
      timeStamp: { createdOn: azureTime(Date.now() + from), expiresOn: azureTime(Date.now() + to) },
    });
    await refused(code, /good from/, await text(at(-7_200_000, -3_600_000)), csr);
    await refused(code, /good from/, await text(at(3_600_000, 7_200_000)), csr);
    await refused(code, /no "timeStamp"/, await text({ timeStamp: 'now' }), csr);
    await refused(
      'ERR_PROVISIONER_CLAIMS',
      /subscriptionId/,
      await text({ subscriptionId: 'x' }),
      csr,
    );
    const stranger = await azureService();
    await refused(code, /Test Root|anchor|issuer/, await text({}, nonce, stranger), csr);
    const web = await azureService('www.azure.com');
    file('azure.pem', web.pem);
    await refused(code, /no metadata service/, await text({}, nonce, web), csr);
    file('azure.pem', azure.pem);
    await refused('ERR_DER_TRUNCATED', /./, good, new Uint8Array());
  });

  it('a managed identity of Azure gets the names of its resource', async () => {
    const id = (group: string) =>
      `/subscriptions/${subscription}/resourcegroups/${group}/providers/Microsoft.Compute/virtualMachines/cart`;
    const claims = (group: string, more: object = {}) => ({
      ...{ iss: tenant, aud: 'api://countersign', sub: 'oid-1', oid: 'oid-1' },
      xms_mirid: id(group),
      ...more,
    });
    const { names, record } = await issuedFor(token(claims('shop')));
    assert.deepEqual(names, ['uri:spiffe://example.com/azure/shop/cart']);
    assert.match(record?.grantedBy ?? '', new RegExp(`machine "${subscription}/shop/cart"$`));
    await issuedFor(token(claims('shop')));
    await refused('ERR_PROVISIONER_CLAIMS', /resourceGroup/, token(claims('other')));
    const assigned = `/subscriptions/${subscription}/resourcegroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/carts`;
    const shared = await issuedFor(token(claims('shop', { xms_mirid: assigned })));
    assert.match(shared.record?.grantedBy ?? '', /, identity ".*\/shop\/carts"$/);
    const none = token(claims('shop', { xms_mirid: undefined }));
    await refused('ERR_PROVISIONER_TOKEN', /no resource of a subscription/, none);
  });

  it('leave who was refused, by whom and why in the audit trail', async () => {
    await refused(
      'ERR_PROVISIONER_CLAIMS',
      /region/,
      await awsText({ instanceId: 'i-77', region: 'x' }),
    );
    const rows = await authority.ledger.auditAfter(0, 10_000);
    const told = rows.map(({ said }) => JSON.parse(said)).find(({ by }) => by === 'aws:ec2/i-77');
    assert.deepEqual(
      [told?.asked, told?.provisioner, told?.code],
      ['issue', 'ec2', 'ERR_PROVISIONER_CLAIMS'],
    );
    assert.equal(told?.subject, 'aws document of instance "i-77" in account "123456789012"');
  });
});
