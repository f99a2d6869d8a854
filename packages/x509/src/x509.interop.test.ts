import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { signCertificate } from './build-certificate.ts';
import { buildCertificateRequest } from './build-certificate-request.ts';
import { buildCrl } from './build-crl.ts';
import type { Extension } from './extension.ts';
import { extension, keyIdOf } from './extension-builders.ts';
import { parseIpAddress, parseIpNetwork } from './ip-address.ts';
import { formatKeyKind, type KeyKind, keyKindOf } from './key-kind.ts';
import { buildName, formatName } from './name.ts';
import { certificatesFromPem } from './parse-certificate.ts';
import { certificateRequestFromPem, verifyPossession } from './parse-certificate-request.ts';
import { crlsFromPem } from './parse-crl.ts';
import { encodePem } from './pem.ts';
import { decodePrivateKey, encodePrivateKey, generateKeyPair } from './private-key.ts';
import { keySigner, type Signer, verifySignature } from './signer.ts';

const folder = mkdtempSync(join(tmpdir(), 'x509-interop-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const found = (tool: string): false | string =>
  spawnSync(tool, ['--version']).status === 0 || spawnSync(tool, ['version']).status === 0
    ? false
    : `no ${tool}`;
const skip = { openssl: found('openssl'), certtool: found('certtool') };

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function run(tool: string, args: readonly string[], input?: string): { ok: boolean; text: string } {
  const { status, stdout, stderr } = spawnSync(tool, args, {
    encoding: 'utf8',
    input,
    timeout: 20_000,
  });
  return { ok: status === 0, text: `${stdout}${stderr}` };
}

const kinds: readonly KeyKind[] = [
  { type: 'EC', curve: 'P-256' },
  { type: 'EC', curve: 'P-384' },
  { type: 'EC', curve: 'P-521' },
  { type: 'RSA', bits: 2048 },
  { type: 'RSA-PSS', bits: 2048 },
  { type: 'Ed25519' },
];

const names = extension.subjectAltName([
  { kind: 'dns', value: 'a.example' },
  { kind: 'uri', value: 'spiffe://a.example/b' },
  { kind: 'ip', bytes: parseIpAddress('2001:db8::7') ?? new Uint8Array() },
  { kind: 'email', value: 'a@a.example' },
]);
const caExtensions = (signer: Signer): Extension[] => [
  extension.basicConstraints({ ca: true, pathLen: 1 }),
  extension.keyUsage(['keyCertSign', 'cRLSign']),
  extension.extKeyUsage(['serverAuth', 'clientAuth']),
  names,
  extension.nameConstraints({
    permitted: [
      { kind: 'dns', value: 'example' },
      { kind: 'ip', bytes: parseIpNetwork('2001:db8::/32') ?? new Uint8Array() },
    ],
  }),
  extension.subjectKeyId(keyIdOf(signer.spki)),
  extension.authorityKeyId(keyIdOf(signer.spki)),
  extension.crlDistributionPoints([['http://crl.example/1']]),
  extension.authorityInfoAccess({ ocsp: ['http://ocsp.example'] }),
  extension.certificatePolicies(['1.2.3.4']),
  extension.policyConstraints({ requireExplicitPolicy: 0 }),
  extension.inhibitAnyPolicy(2),
];

const subject = buildName([
  { type: 'C', value: 'AT' },
  { type: 'O', value: 'Söhne, Müller' },
  { type: 'CN', value: 'root' },
]);

async function authority(kind: KeyKind): Promise<{ signer: Signer; pem: string; key: string }> {
  const { privateKey } = await generateKeyPair(kind);
  const signer = keySigner(privateKey);
  const now = Math.floor(performance.timeOrigin);
  const bytes = await signCertificate(
    {
      serial: Uint8Array.of(0x9a, 1, 2, 3),
      issuer: subject,
      subject,
      notBefore: now - 60_000,
      notAfter: now + 86_400_000,
      spki: signer.spki,
      extensions: caExtensions(signer),
    },
    signer,
  );
  return { signer, pem: encodePem('CERTIFICATE', bytes), key: encodePrivateKey(privateKey) };
}

for (const kind of kinds) {
  test(`openssl accepts our ${formatKeyKind(kind)} certificate, request, list and key`, {
    skip: skip.openssl,
  }, async () => {
    const { signer, pem, key } = await authority(kind);
    const certificate = file('ca.pem', pem);
    const shown = run('openssl', [
      'x509',
      '-in',
      certificate,
      '-noout',
      '-text',
      '-nameopt',
      'RFC2253,-esc_msb,utf8',
    ]);
    assert.ok(shown.ok, shown.text);
    for (const part of [
      '0x9a010203',
      'CN=root,O=Söhne\\, Müller,C=AT',
      'CA:TRUE, pathlen:1',
      'Certificate Sign, CRL Sign',
      'DNS:a.example, URI:spiffe://a.example/b, IP Address:2001:DB8:0:0:0:0:0:7, email:a@a.example',
      'IP:2001:DB8:0:0:0:0:0:0/FFFF:FFFF:0:0:0:0:0:0',
      'URI:http://crl.example/1',
      'OCSP - URI:http://ocsp.example',
      'Policy: 1.2.3.4',
      'Require Explicit Policy:0',
    ]) {
      assert.ok(shown.text.includes(part), `${part} not in ${shown.text}`);
    }
    const checked = run('openssl', [
      'verify',
      '-check_ss_sig',
      '-CAfile',
      certificate,
      certificate,
    ]);
    assert.ok(checked.ok, checked.text);

    const request = file(
      'req.pem',
      encodePem(
        'CERTIFICATE REQUEST',
        await buildCertificateRequest({ signer, subject, extensions: [names] }),
      ),
    );
    const proved = run('openssl', ['req', '-in', request, '-verify', '-noout', '-text']);
    assert.ok(proved.ok && proved.text.includes('DNS:a.example'), proved.text);

    const now = Math.floor(performance.timeOrigin);
    const entries = [
      { serialHex: '0a', date: now, reason: 'keyCompromise' as const, invalidityDate: now },
    ];
    const list = await buildCrl({
      signer,
      issuer: subject,
      thisUpdate: now,
      nextUpdate: now + 3_600_000,
      crlNumber: 5n,
      entries,
    });
    const listed = run('openssl', [
      'crl',
      '-in',
      file('crl.pem', encodePem('X509 CRL', list)),
      '-CAfile',
      certificate,
      '-noout',
      '-text',
    ]);
    assert.ok(
      listed.ok && /verify OK/.test(listed.text) && /Key Compromise/.test(listed.text),
      listed.text,
    );

    assert.ok(run('openssl', ['pkey', '-in', file('key.pem', key), '-noout', '-check']).ok);
    assert.ok(run('openssl', ['asn1parse', '-inform', 'DER', '-in', file('crl.der', list)]).ok);
  });
}

const opensslKeys: readonly (readonly [string, readonly string[]])[] = [
  ['ECDSA P-256', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']],
  ['ECDSA P-384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ['RSA 3072', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072']],
  ['RSA-PSS 2048', ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048']],
  ['Ed25519', ['-algorithm', 'ED25519']],
];

for (const [kind, args] of opensslKeys) {
  test(`we read the ${kind} key, certificate, request and list of openssl`, {
    skip: skip.openssl,
  }, () => {
    const made = run('openssl', ['genpkey', ...args]);
    const key = file('o-key.pem', made.text.slice(made.text.indexOf('-----BEGIN')));
    const signer = keySigner(decodePrivateKey(made.text.slice(made.text.indexOf('-----BEGIN'))));
    assert.equal(formatKeyKind(keyKindOf(signer.spki) ?? { type: 'Ed25519' }), kind);
    const shared = [
      '-key',
      key,
      '-subj',
      '/C=AT/O=Beispiel/CN=a b',
      '-addext',
      'subjectAltName=DNS:a.example,IP:10.0.0.1',
    ];

    const [certificate] = certificatesFromPem(
      run('openssl', ['req', '-new', '-x509', '-days', '30', '-utf8', ...shared]).text,
    );
    assert.ok(certificate);
    assert.equal(formatName(certificate.subject), 'CN=a b,O=Beispiel,C=AT');
    assert.ok(
      verifySignature(
        certificate.spki,
        certificate.signatureAlgorithm,
        certificate.tbs,
        certificate.signature,
      ),
    );
    assert.equal(certificate.subjectAltNames.length, 2);

    const request = certificateRequestFromPem(run('openssl', ['req', '-new', ...shared]).text);
    assert.ok(verifyPossession(request));
    assert.equal(request.subjectAltNames.length, 2);

    const database = file(
      'index.txt',
      'R\t300101000000Z\t260101000000Z,keyCompromise\t0A\tunknown\t/CN=x\n',
    );
    const config = `[ca]
default_ca=d
[d]
database=${database}
crlnumber=${file('number', '07\n')}
default_md=sha256
crl_extensions=e
[e]
authorityKeyIdentifier=keyid
`;
    const issued = run('openssl', [
      'ca',
      '-gencrl',
      '-crldays',
      '1',
      '-config',
      file('ca.cnf', config),
      '-keyfile',
      key,
      '-cert',
      file('o-ca.pem', encodePem('CERTIFICATE', certificate.raw)),
    ]);
    const [list] = crlsFromPem(issued.text.slice(issued.text.indexOf('-----BEGIN')));
    assert.ok(list, issued.text);
    assert.equal(list.crlNumber, 7n);
    assert.equal(list.entries.get('0a')?.reason, 'keyCompromise');
    assert.ok(verifySignature(certificate.spki, list.signatureAlgorithm, list.tbs, list.signature));
  });
}

test('certtool accepts our certificate, request and list', { skip: skip.certtool }, async () => {
  const { signer, pem } = await authority({ type: 'EC', curve: 'P-256' });
  assert.ok(run('certtool', ['--certificate-info'], pem).ok);
  const request = await buildCertificateRequest({ signer, subject, extensions: [names] });
  const shown = run('certtool', ['--crq-info'], encodePem('CERTIFICATE REQUEST', request));
  assert.match(shown.text, /Self signature: verified/);
  const now = Math.floor(performance.timeOrigin);
  const list = await buildCrl({
    signer,
    issuer: subject,
    thisUpdate: now,
    nextUpdate: now + 3_600_000,
    crlNumber: 5n,
    entries: [],
  });
  const path = file('certtool-ca.pem', pem);
  assert.ok(
    run('certtool', ['--verify-crl', '--load-ca-certificate', path], encodePem('X509 CRL', list))
      .ok,
  );
});
