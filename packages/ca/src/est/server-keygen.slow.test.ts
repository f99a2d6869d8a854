import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Certificate,
  certificatesFromPem,
  cmsOids,
  der,
  encodePem,
  formatGeneralName,
  keyKindOf,
  spkiOf,
} from '@countersign/x509';
import {
  certificatesOf,
  dns,
  EstWorld,
  estRequest,
  newSigner,
  type RequestParts,
} from '../../test/est-under-test.ts';

const names = [dns('made.example.test')];

describe('a key that the EST edge makes', () => {
  let world: EstWorld;
  before(async () => {
    world = await EstWorld.start();
  });
  after(() => world.close());

  /** The parts of the answer, by their types. */
  async function made(parts: RequestParts, tls?: { key: string; cert: string }) {
    const user = tls === undefined ? 'alice' : '';
    const csr = () => estRequest(parts);
    const answer = await world.must('serverkeygen', { csr, user, ...(tls && { tls }) });
    const type = answer.headers['content-type'] ?? '';
    const boundary = /^multipart\/mixed; boundary=(\S+)$/.exec(type)?.[1] ?? '';
    const sections = answer.text.split(`--${boundary}`).slice(1, -1);
    assert.equal(sections.length, 2);
    return sections.map((each) => {
      const [head = '', body = ''] = each.split('\r\n\r\n');
      assert.match(head, /Content-Transfer-Encoding: base64/);
      return { type: /Content-Type: (.*)/.exec(head)?.[1], body };
    });
  }

  function mustFit(pkcs8: Buffer, leaf: Certificate | undefined): void {
    const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    assert.ok(leaf);
    assert.deepEqual(spkiOf(createPublicKey(key)).raw, leaf.spki.raw);
  }

  it('is of the kind of the key in the request, and its certificate comes with it', async () => {
    for (const kind of [{ type: 'EC', curve: 'P-384' }, { type: 'Ed25519' }] as const) {
      const signer = await newSigner(kind);
      const [key, certificate] = await made({ signer, names });
      assert.equal(key?.type, 'application/pkcs8');
      assert.equal(certificate?.type, 'application/pkcs7-mime; smime-type=certs-only');
      const [leaf] = certificatesOf(certificate?.body ?? '');
      mustFit(Buffer.from(key?.body ?? '', 'base64'), leaf);
      assert.deepEqual(leaf && keyKindOf(leaf.spki), kind);
      assert.notDeepEqual(leaf?.spki.raw, signer.spki.raw);
      assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), ['dns:made.example.test']);
    }
  });

  it('is not made for names that the policy refuses, nor where ca.yaml does not say so', async (t) => {
    const csr = () => estRequest({ names: [dns('evil.invalid')] });
    await world.refused(403, /evil\.invalid/, 'serverkeygen', { csr });
    const other = await EstWorld.start((yaml) =>
      yaml.replace('server_keygen: true', 'server_keygen: false').replace(/decrypt_keys.*/, ''),
    );
    t.after(() => other.close());
    await other.refused(404, /not made here/, 'serverkeygen', { csr });
  });

  it('is refused by name where it cannot be encrypted as the request says', async () => {
    const refused = (says: RegExp, parts: RequestParts, tls?: object) =>
      world.refused(400, says, 'serverkeygen', {
        ...(tls && { tls, user: '' }),
        csr: () => estRequest(parts),
      });
    const [a, b] = [Buffer.from('meter-9'), Buffer.alloc(20, 1)];
    await refused(/decryptKeyIdentifier is not known/, { decryptKeyId: a });
    await refused(/one of both/, { decryptKeyId: a, asymmetricDecryptKeyId: b });
    await refused(/not that of the certificate shown/, { asymmetricDecryptKeyId: b });
    const subject = [
      { type: 'O' as const, value: 'Meters' },
      { type: 'serialNumber' as const, value: 'M-1' },
    ];
    const tls = await world.maker.device(subject, { type: 'Ed25519' });
    const [shown] = certificatesFromPem(tls.cert);
    const asymmetricDecryptKeyId = shown?.subjectKeyId ?? b;
    await refused(/RSA or EC/, { asymmetricDecryptKeyId }, tls);
  });

  const hasOpenssl = spawnSync('openssl', ['version']).error === undefined;
  const skip = hasOpenssl ? false : 'no openssl (Debian: apt-get install openssl)';

  /** As OpenSSL opens it, and verifies who made it. */
  function opened(
    part: { type: string | undefined; body: string } | undefined,
    by: string[],
  ): Buffer {
    assert.equal(part?.type, 'application/pkcs7-mime; smime-type=server-generated-key');
    const run = (words: string[], input: Uint8Array): Buffer => {
      const { stdout, stderr, status } = spawnSync('openssl', ['cms', ...words], { input });
      assert.equal(status, 0, stderr.toString());
      return stdout;
    };
    const sealed = Buffer.from(part?.body ?? '', 'base64');
    const inner = run(['-decrypt', '-binary', '-inform', 'DER', ...by], sealed);
    const signed = der.sequence(der.oid(cmsOids.signedData), der.explicit(0, inner));
    const roots = join(world.directory, 'roots.pem');
    writeFileSync(roots, encodePem('CERTIFICATE', world.api.authority.root.raw));
    const verify = ['-verify', '-binary', '-inform', 'DER', '-CAfile', roots, '-purpose', 'any'];
    const list = run(verify, signed);
    // RFC 5958 §2: a package of one
    return list.subarray(list[1] === 0x81 ? 3 : (list[1] ?? 0) < 0x80 ? 2 : 4);
  }

  it('is opened by the holder of the certificate that the client shows', { skip }, async () => {
    const subject = [
      { type: 'O' as const, value: 'Meters' },
      { type: 'serialNumber' as const, value: 'M-2' },
    ];
    for (const kind of [
      { type: 'RSA', bits: 2048 },
      { type: 'EC', curve: 'P-256' },
    ] as const) {
      const tls = await world.maker.device(subject, kind);
      const asymmetricDecryptKeyId = certificatesFromPem(tls.cert)[0]?.subjectKeyId;
      assert.ok(asymmetricDecryptKeyId);
      const [key, certificate] = await made({ asymmetricDecryptKeyId }, tls);
      const [keyFile, certFile] = [join(world.directory, 'k'), join(world.directory, 'c')];
      writeFileSync(keyFile, tls.key);
      writeFileSync(certFile, tls.cert);
      const pkcs8 = opened(key, ['-inkey', keyFile, '-recip', certFile]);
      mustFit(pkcs8, certificatesOf(certificate?.body ?? '')[0]);
    }
  });

  it('is opened by whoever has the shared key that the request names', { skip }, async () => {
    const decryptKeyId = Buffer.from('meter-7');
    const [key, certificate] = await made({ decryptKeyId, names });
    const words = ['-secretkey', '07'.repeat(32), '-secretkeyid', decryptKeyId.toString('hex')];
    mustFit(opened(key, words), certificatesOf(certificate?.body ?? '')[0]);
  });
});
