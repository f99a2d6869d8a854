import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { softTpmServerMissing, startSoftTpmServer, testCa } from '@countersign/testkit';
import {
  buildName,
  certificatesFromPem,
  encodePem,
  extension,
  formatGeneralName,
  keyIdOf,
  parseTpmPublic,
  signCertificate,
} from '@countersign/x509';
import { skipAgent } from './agent-of-authority.ts';
import { authorityYaml, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const skip = softTpmServerMissing() || skipAgent;

describe('a machine with a TPM (swtpm)', { skip, timeout: 300_000 }, () => {
  for (const kind of ['ecc', 'rsa'] as const) {
    it(`of kind ${kind} whose maker certifies it attests its agent, and another does not`, async (t) => {
      const directory = await temporaryDirectory(t);
      const file = (name: string) => join(directory, name);
      const tpm = await startSoftTpmServer();
      t.after(() => tpm.remove());

      // 1. its maker has certified the endorsement key, and put the certificate into the TPM
      tpm.tool('tpm2_createek', '-G', kind, '-c', 'ek.ctx', '-u', 'ek.pub');
      tpm.tool('tpm2_flushcontext', '-t');
      const { spki } = parseTpmPublic((await readFile(join(tpm.directory, 'ek.pub'))).subarray(2));
      const maker = testCa({ name: 'maker of TPMs' });
      const { subject, notBefore, notAfter, subjectKeyId } = maker.root;
      const certificate = await signCertificate(
        {
          ...{ serial: Uint8Array.of(7), issuer: subject, subject: buildName([]), spki },
          ...{ notBefore, notAfter },
          extensions: [
            extension.basicConstraints({ ca: false }),
            extension.keyUsage([kind === 'rsa' ? 'keyEncipherment' : 'keyAgreement']),
            extension.extKeyUsage(['2.23.133.8.1']),
            extension.subjectAltName([{ kind: 'uri', value: 'urn:tpm:1' }], true),
            extension.authorityKeyId(subjectKeyId ?? keyIdOf(maker.root.spki)),
          ],
        },
        maker.signer,
      );
      await writeFile(join(tpm.directory, 'ek.der'), certificate);
      const index = kind === 'rsa' ? '0x01c00002' : '0x01c0000a';
      // More room than it takes, as some makers leave it.
      const size = String(certificate.byteLength + 100);
      const rights = 'ownerread|ownerwrite|authread|authwrite';
      tpm.tool('tpm2_nvdefine', index, '-C', 'o', '-s', size, '-a', rights);
      tpm.tool('tpm2_nvwrite', index, '-C', 'o', '-i', 'ek.der');

      // 2. an authority that believes its maker
      await writeFile(file('makers.pem'), encodePem('CERTIFICATE', maker.root.raw));
      const provisioner = [
        `name: fleet, type: tpm, roots_file: ${file('makers.pem')}`,
        `claims: { ek: '*' }, spiffe_id: 'spiffe://example.com/agent/{ek}'`,
      ].join(', ');
      await writeFile(file('ca.yaml'), `${authorityYaml()}provisioners: [{ ${provisioner} }]\n`);
      const words = ['--config', file('ca.yaml'), '--data', file('state')];
      const made = await countersign(['init', ...words]);
      assert.equal(made.code, 0, made.stderr);
      const server = await startCountersign(t, ['ca', 'serve', ...words, '--port', '0']);
      const [url = ''] = server.urls;

      // 3. its agent
      const attest = `attest: { fingerprint: ${made.stdout.trim()}, tpm: { device: ${tpm.socket}, keys: ${kind} } }`;
      await writeFile(file('agent.yaml'), `agent: { socket: a.sock }\n${attest}\n`);
      const start = ['agent', '--config', file('agent.yaml'), '--ca', url];
      const agent = await startCountersign(t, [...start, '--identity', file('agent')]);
      const [leaf] = certificatesFromPem(await readFile(file('agent/cert.pem')));
      assert.match(
        leaf?.subjectAltNames.map(formatGeneralName).join() ?? '',
        /\/agent\/[0-9a-f]{64}$/,
      );
      await agent.end();

      // 4. it came; and a TPM that nobody certified does not
      const pinned = ['enrol', '--ca', url, '--fingerprint', made.stdout.trim(), '--attest', 'tpm'];
      if (kind === 'ecc') {
        const again = await countersign([...pinned, '--tpm', tpm.socket, '--out', file('again')]);
        assert.deepEqual([again.code, lastLine(again.stderr)], [1, 'ERR_PROVISIONER_USED']);
      }
      const other = await startSoftTpmServer();
      t.after(() => other.remove());
      const refused = await countersign([...pinned, '--tpm', other.socket, '--out', file('other')]);
      assert.notEqual(refused.code, 0);
      assert.match(server.stderr(), /there is no certificate of the endorsement key/);
      const none = await countersign([...pinned, '--tpm', file('nothing'), '--out', file('none')]);
      assert.deepEqual([none.code, lastLine(none.stderr)], [3, 'ERR_TPM_DEVICE']);
      const empty = await countersign([...pinned, '--tpm', '/dev/null', '--out', file('none')]);
      assert.deepEqual([empty.code, lastLine(empty.stderr)], [3, 'ERR_TPM_DEVICE']);
    });
  }
});
