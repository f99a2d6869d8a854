import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { equalBytes } from '@countersign/base';
import { type SoftTpmServer, softTpmServerMissing, startSoftTpmServer } from '@countersign/testkit';
import { makeCredential } from './make-credential.ts';
import { parseTpmAttest } from './tpm-attest.ts';
import { TpmCommands } from './tpm-commands.ts';
import { parseTpmPublic, type TpmPublic } from './tpm-public.ts';
import { parseTpmSignature, verifyTpmSignature } from './tpm-signature.ts';
import { attestationTemplate, endorsementTemplate, signatureTemplate } from './tpm-templates.ts';

const skip = softTpmServerMissing();
const server = skip === false ? await startSoftTpmServer() : ({} as SoftTpmServer);
after(() => server.remove?.());

const file = (name: string) => join(server.directory, name);
/** TPM2B_PUBLIC, as the tools write it. */
const publicOf = (name: string) => parseTpmPublic(readFileSync(file(name)).subarray(2));

const kinds = [
  { kind: 'ecc', scheme: 'ecdsa', key: 'ecc256:ecdsa' },
  { kind: 'rsa', scheme: 'rsassa', key: 'rsa2048:rsassa' },
  { kind: 'rsa', scheme: 'rsapss', key: 'rsa2048:rsassa' },
  { kind: 'ecc384', scheme: 'ecdsa', key: 'ecc384:ecdsa' },
];
for (const { kind, scheme, key } of kinds) {
  const hash = kind === 'ecc384' ? 'sha384' : 'sha256';
  describe(`a TPM in software with ${kind} keys that sign by ${scheme}`, { skip }, () => {
    const run = (command: string, ...words: readonly string[]) => server.tool(command, ...words);
    const endorse = () => {
      for (const what of ['-t', '-l', '-s']) run('tpm2_flushcontext', what);
      run(
        'tpm2_createek',
        '-c',
        'ek.ctx',
        '-G',
        kind.startsWith('ecc') ? 'ecc' : kind,
        '-u',
        'ek.pub',
      );
      const ak = ['-C', 'ek.ctx', '-c', 'ak.ctx', '-G', kind, '-g', hash, '-s', scheme];
      run('tpm2_createak', ...ak, '-u', 'ak.pub', '-n', 'ak.name');
      run('tpm2_flushcontext', '-t');
    };

    it('states what is read here: names, certified keys, quotes, and their signatures', () => {
      endorse();
      const attestation = publicOf('ak.pub');
      assert.ok(equalBytes(attestation.name, readFileSync(file('ak.name'))));
      run('tpm2_createprimary', '-c', 'p.ctx', '-G', key.split(':')[0] ?? '', '-Q');
      run('tpm2_create', '-C', 'p.ctx', '-G', key, '-u', 'k.pub', '-r', 'k.priv', '-c', 'k.ctx');
      run('tpm2_flushcontext', '-t');
      const nonce = randomBytes(32);
      // These tools certify with the scheme that they take for a kind of key.
      if (scheme !== 'rsapss') certified(attestation);
      const quoted = ['-m', 'quote', '-s', 'quoted', '-g', hash, '--scheme', scheme];
      const what = ['-l', 'sha256:0,7', '-q', nonce.toString('hex'), '-f', 'tss'];
      run('tpm2_quote', '-c', 'ak.ctx', ...quoted, ...what);
      const quote = readFileSync(file('quote'));
      const { extraData, attested } = parseTpmAttest(quote);
      assert.deepEqual(Buffer.from(extraData), nonce);
      assert.ok(attested.kind === 'quote' && attested.digest.byteLength > 0);
      const by = parseTpmSignature(readFileSync(file('quoted')));
      assert.equal(by.scheme, scheme);
      assert.ok(verifyTpmSignature(attestation.spki, quote, by));
    });

    const certified = (attestation: TpmPublic) => {
      const out = ['-o', 'attest', '-s', 'signature', '-g', hash, '-f', 'tss'];
      run('tpm2_certify', '-C', 'ak.ctx', '-c', 'k.ctx', ...out);
      const attest = readFileSync(file('attest'));
      const read = parseTpmAttest(attest);
      assert.ok(read.attested.kind === 'certify');
      assert.ok(equalBytes(read.attested.name, publicOf('k.pub').name));
      const signature = parseTpmSignature(readFileSync(file('signature')));
      assert.equal(signature.scheme, scheme);
      assert.ok(verifyTpmSignature(attestation.spki, attest, signature));
      run('tpm2_flushcontext', '-t');
    };

    it('opens the credentials that are made here', () => {
      endorse();
      const content = randomBytes(32);
      const made = makeCredential(publicOf('ek.pub'), publicOf('ak.pub').name, content);
      // What tpm2-tools put before both: a mark and a version.
      const head = Buffer.from('badcc0de00000001', 'hex');
      writeFileSync(file('credential'), Buffer.concat([head, made.blob, made.secret]));
      run('tpm2_startauthsession', '--policy-session', '-S', 'session');
      run('tpm2_policysecret', '-S', 'session', '-c', 'endorsement');
      const words = ['-c', 'ak.ctx', '-C', 'ek.ctx', '-i', 'credential', '-o', 'content'];
      run('tpm2_activatecredential', ...words, '-P', 'session:session');
      run('tpm2_flushcontext', 'session');
      assert.deepEqual(readFileSync(file('content')), content);
    });
  });
}

describe('commands to a TPM in software', { skip }, () => {
  const commands = new TpmCommands((command) => server.exchange(command));
  const clear = () => {
    for (const what of ['-t', '-l', '-s']) server.tool('tpm2_flushcontext', what);
  };

  for (const kind of ['ecc', 'rsa'] as const) {
    it(`make keys of kind ${kind}, certify, quote, sign and activate`, async () => {
      clear();
      server.tool('tpm2_createek', '-c', 'own.ctx', '-G', kind, '-u', 'ek.pub');
      clear();
      const ek = await commands.createPrimary('endorsement', endorsementTemplate(kind));
      const ak = await commands.createPrimary('endorsement', attestationTemplate(kind));
      assert.ok(equalBytes(publicOf('ek.pub').raw, ek.public.raw), 'the key that others make too');
      const key = await commands.createPrimary('owner', signatureTemplate(kind));
      assert.ok(equalBytes((await commands.readPublic(key.handle)).name, key.public.name));

      const nonce = randomBytes(32);
      const stated = [
        await commands.certify(key.handle, ak.handle, nonce),
        await commands.quote(ak.handle, nonce),
      ];
      for (const { attest, signature } of stated) {
        assert.deepEqual(Buffer.from(parseTpmAttest(attest).extraData), nonce);
        const parsed = parseTpmSignature(signature);
        assert.ok(verifyTpmSignature(ak.public.spki, attest, parsed));
      }

      const scheme = kind === 'ecc' ? 'ecdsa' : 'rsassa';
      const digest = hash('sha256', 'data', 'buffer');
      const signature = await commands.sign(key.handle, digest, { scheme, hash: 0x000b });
      assert.ok(verifyTpmSignature(key.public.spki, Buffer.from('data'), signature));

      const content = randomBytes(32);
      const credential = makeCredential(ek.public, ak.public.name, content);
      const opened = await commands.activateCredential(ak.handle, ek.handle, credential);
      assert.deepEqual(Buffer.from(opened), content);
      const foreign = makeCredential(ek.public, key.public.name, content);
      await assert.rejects(commands.activateCredential(ak.handle, ek.handle, foreign), {
        code: 'ERR_TPM_COMMAND',
        message: /activateCredential/,
      });
      for (const { handle } of [ek, ak, key]) await commands.flushContext(handle);
    });
  }

  it('are refused with the code of the TPM', async () => {
    const reading = commands.readPublic(0x8100_4711);
    await assert.rejects(reading, { code: 'ERR_TPM_COMMAND', message: /nothing of that handle/ });
  });
});
