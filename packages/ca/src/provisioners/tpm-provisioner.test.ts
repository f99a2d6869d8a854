import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { toBase64 } from '@countersign/base';
import { type TestTpm, testCa, testKey, testTpm } from '@countersign/testkit';
import {
  formatTpmChallengeRequest,
  formatTpmEvidence,
  parseIssueResponse,
  parseTpmChallenge,
  type TpmEvidence,
  tpmQualifying,
} from '@countersign/wire';
import {
  buildCertificateRequest,
  formatGeneralName,
  keySigner,
  parseCertificate,
} from '@countersign/x509';
import { exchange, type TestApi, testApi } from '../../test/api-under-test.ts';
import { testAuthority } from '../../test/authority-under-test.ts';
import { tpmNames } from '../../test/paper-attestation.ts';
import { parseCaConfig } from '../ca-config.ts';

const ekOf = (tpm: TestTpm) => hash('sha256', tpm.endorsement.spki.raw);
const listed = testTpm('rsa');
const made = testTpm('ecc');
const makers = testCa({ name: 'maker of TPMs' });

const yaml = (provisioner: string) => `
ca:
  root: { curve: P-256, validity: 87600h }
  intermediate: { services: { curve: P-256, validity: 8760h } }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com }
provisioners:
  - { name: desk, type: tpm, spiffe_id: "spiffe://example.com/desk/{ek}", ${provisioner} }
`;

describe('a provisioner of type tpm', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-tpm-provisioner-'));
  let api: TestApi;
  let byRoots: TestApi;
  before(async () => {
    const roots = join(directory, 'makers.pem');
    writeFileSync(roots, makers.rootPem);
    const open = async (more: string) =>
      await testApi({ authority: await testAuthority({ yaml: yaml(more) }) });
    api = await open(`claims: { ek: ${ekOf(listed)} }`);
    byRoots = await open(
      `roots_file: ${roots}, claims: { ek: "*", manufacturer: "id:5346*" }, reusable: true`,
    );
  });
  after(async () => {
    await Promise.all([api.close(), byRoots.close()]);
    rmSync(directory, { recursive: true, force: true });
  });

  async function post(at: TestApi, path: string, body: string) {
    const headers = { 'content-type': 'application/json' };
    const { status, text } = await exchange(at, { method: 'POST', path, headers, body });
    return { status, json: JSON.parse(text) };
  }

  const apiOf = (tpm: TestTpm) => (tpm === made ? byRoots : api);

  /** From the challenge to what a machine sends; `change` forges a part of it. */
  async function evidence(
    tpm: TestTpm,
    spki: Uint8Array,
    change: (honest: TpmEvidence) => Partial<TpmEvidence> = () => ({}),
  ): Promise<string> {
    const both = { endorsement: tpm.endorsement.raw, attestation: tpm.attestation.raw };
    const asked = await post(apiOf(tpm), '/v1/attest/tpm', formatTpmChallengeRequest(both));
    assert.equal(asked.status, 200, JSON.stringify(asked.json));
    const { at, ...credential } = parseTpmChallenge(asked.json);
    const content = tpm.activate(credential);
    const certificates = tpm === made ? [certificateOf(tpm)] : [];
    const quoted = tpm.quote(tpmQualifying(content, spki));
    const honest = { ...both, certificates, at, content, ...quoted };
    return formatTpmEvidence({ ...honest, ...change(honest) });
  }

  async function enrol(tpm: TestTpm, change?: (honest: TpmEvidence) => Partial<TpmEvidence>) {
    const signer = keySigner(testKey());
    const csr = await buildCertificateRequest({ signer });
    const token = await evidence(tpm, signer.spki.raw, change);
    return await post(apiOf(tpm), '/v1/enrol', JSON.stringify({ token, csr: toBase64(csr) }));
  }

  function certificateOf(tpm: TestTpm, more: object = {}): Uint8Array {
    const key = tpm.endorsementKey;
    const purposes = { keyUsage: ['keyEncipherment'], extKeyUsage: ['2.23.133.8.1'] } as const;
    return makers.leaf({ key, subject: [], names: tpmNames([]), ...purposes, ...more }).certificate
      .raw;
  }

  it('gives a machine whose endorsement key is listed its name, once', async () => {
    const { status, json } = await enrol(listed);
    assert.equal(status, 200, JSON.stringify(json));
    const { serial, chain } = parseIssueResponse(json);
    const leaf = parseCertificate(chain[0] ?? new Uint8Array());
    const id = `spiffe://example.com/desk/${ekOf(listed)}`;
    assert.deepEqual(leaf.subjectAltNames.map(formatGeneralName), [`uri:${id}`]);
    const record = await api.authority.ledger.certificate(serial);
    assert.equal(record?.provisioner, 'desk');
    assert.equal(record?.grantedBy, `quote by the TPM with endorsement key "${ekOf(listed)}"`);
    const again = await enrol(listed);
    assert.equal(again.json.code, 'ERR_PROVISIONER_USED');
  });

  it('gives a machine whose TPM a maker certifies its name, as often as it comes', async () => {
    for (let i = 0; i < 2; i += 1) {
      const { status, json } = await enrol(made);
      assert.equal(status, 200, JSON.stringify(json));
      assert.equal(json.spiffeId, `spiffe://example.com/desk/${ekOf(made)}`);
    }
  });

  const other = testTpm('ecc');
  const forgeries: readonly (readonly [
    string,
    RegExp,
    (honest: TpmEvidence) => Partial<TpmEvidence>,
  ])[] = [
    [
      'a certificate that is none',
      /signature algorithms differ/,
      () => ({ certificates: [withOtherAlgorithm(certificateOf(made))] }),
    ],
    ['a challenge that was not opened', /has not opened/, () => ({ content: new Uint8Array(32) })],
    ['a challenge of another time', /has not opened/, ({ at }) => ({ at: at + 1 })],
    ['an old challenge', /too old/, ({ at }) => ({ at: at - 6 * 60_000 })],
    [
      'another attestation key than was challenged',
      /has not opened/,
      () => ({ attestation: other.attestation.raw }),
    ],
    [
      'a quote by another key',
      /not signed by the attestation key/,
      () => ({ signature: other.quote(new Uint8Array(32)).signature }),
    ],
    [
      'a quote for another request',
      /not for the request's key/,
      ({ content }) => made.quote(tpmQualifying(content, other.endorsement.spki.raw)),
    ],
    [
      'a certificate of another endorsement key',
      /not of the endorsement key/,
      () => ({ certificates: [certificateOf(other)] }),
    ],
    ['no certificate', /no certificate of the endorsement key/, () => ({ certificates: [] })],
    [
      'a certificate for something else',
      /expected 2\.23\.133\.8\.1/,
      () => ({ certificates: [certificateOf(made, { extKeyUsage: ['2.23.133.8.3'] })] }),
    ],
    [
      'a certificate of a maker that nobody knows',
      /signature|issuer|anchor/,
      () => ({
        certificates: [
          testCa({ name: 'nobody' }).leaf({
            key: made.endorsementKey,
            extKeyUsage: ['2.23.133.8.1'],
          }).certificate.raw,
        ],
      }),
    ],
  ];
  for (const [what, detail, change] of forgeries) {
    it(`refuses ${what}`, async () => {
      const before = byRoots.lines.length;
      const { json } = await enrol(made, change);
      assert.match(String(json.code), /^ERR_(PROVISIONER_|API_GUESSES)/, JSON.stringify(json));
      const told = JSON.stringify(byRoots.lines.slice(before));
      if (json.code !== 'ERR_API_GUESSES') assert.match(told, detail);
    });
  }
});

describe('ca.yaml refuses a provisioner that would take every TPM', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['of all makers', 'reusable: true', /every TPM could come/],
    ['of one maker', 'roots_file: makers.pem', /every TPM could come/],
    ['and software', 'claims: { ek: "*" }', /ek "\*" and roots_file is missing/],
    ['by a pattern', 'roots_file: makers.pem, claims: { ek: "**" }', /ek "\*\*", which is no such/],
    [
      'beside a hash',
      `roots_file: a.pem, claims: { ek: [${ekOf(listed)}, "*"] }`,
      /ek "\*", which/,
    ],
  ];
  for (const [what, more, message] of cases) {
    it(what, () => assert.throws(() => parseCaConfig(yaml(more), 'ca.yaml'), { message }));
  }
});

/** Outside of what is signed. */
function withOtherAlgorithm(certificate: Uint8Array): Uint8Array {
  const bytes = Buffer.from(certificate);
  const ecdsaWithSha256 = Buffer.from('2a8648ce3d040302', 'hex');
  bytes[bytes.lastIndexOf(ecdsaWithSha256) + 7] = 3;
  return bytes;
}
