import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { CountersignError, Secret } from '@countersign/base';
import { createSealer, formatSealedKey, parseSealedKey, type SealedKey } from './sealed-key.ts';

const cheap = { N: 1024, r: 8, p: 1 };
const text = (value: string) => new Secret(new TextEncoder().encode(value));
const plain = 'the key, all thirty-two bytes of it';
const publicKey = 'ab'.repeat(32);

describe('sealed keys', () => {
  it('open with the secret that sealed them', async () => {
    const sealed = await createSealer(text('correct horse'), cheap).seal(
      'root',
      publicKey,
      text(plain),
    );
    const read = parseSealedKey(formatSealedKey(sealed), 'root.key.json');
    const open = await createSealer(text('correct horse'), cheap).unseal(read);
    assert.equal(new TextDecoder().decode(open.reveal()), plain);
  });

  it('say the same whether the secret is wrong or the file was changed, and nothing of either', async () => {
    const sealer = createSealer(text('correct horse'), cheap);
    const sealed = await sealer.seal('root', publicKey, text(plain));
    const changed = (over: Partial<SealedKey>): SealedKey => ({ ...sealed, ...over });
    const attempts = [
      () => createSealer(text('wrong horse'), cheap).unseal(sealed),
      () => sealer.unseal(changed({ name: 'production' })),
      () => sealer.unseal(changed({ publicKey: 'cd'.repeat(32) })),
      () =>
        sealer.unseal(
          changed({ ciphertext: Buffer.from('the keyX'.repeat(3)).toString('base64') }),
        ),
      () =>
        sealer.unseal(changed({ cipher: { ...sealed.cipher, tag: 'AAAAAAAAAAAAAAAAAAAAAA==' } })),
    ];
    for (const attempt of attempts) {
      await assert.rejects(attempt, (thrown: unknown) => {
        assert.ok(thrown instanceof CountersignError);
        assert.equal(thrown.code, 'ERR_KEY_SEALED');
        assert.match(thrown.message, /the passphrase or key file does not fit it$/);
        assert.equal(thrown.cause, undefined);
        assert.doesNotMatch(inspect(thrown), /horse|thirty/);
        return true;
      });
    }
  });

  it('never seal the same way twice', async () => {
    const sealer = createSealer(text('correct horse'), cheap);
    const [a, b] = await Promise.all([
      sealer.seal('root', publicKey, text(plain)),
      sealer.seal('root', publicKey, text(plain)),
    ]);
    assert.notEqual(a.cipher.nonce, b.cipher.nonce);
    assert.notEqual(a.ciphertext, b.ciphertext);
  });

  it('are refused before any computing where their parameters are absurd', async () => {
    const sealed = await createSealer(text('x'), cheap).seal('root', publicKey, text(plain));
    const rows: readonly Partial<Record<keyof SealedKey, unknown>>[] = [
      { format: 'other' },
      { version: 2 },
      { kdf: { ...sealed.kdf, N: 2 ** 30 } },
      { kdf: { ...sealed.kdf, N: 1000 } },
      { kdf: { ...sealed.kdf, name: 'pbkdf2' } },
      { kdf: { ...sealed.kdf, r: 1024 } },
      { cipher: { ...sealed.cipher, nonce: 'AA==' } },
      { cipher: undefined },
      { publicKey: 'xyz' },
      { ciphertext: '' },
    ];
    for (const over of rows) {
      const json = JSON.stringify({ ...sealed, ...over });
      assert.throws(() => parseSealedKey(json, 'root.key.json'), { code: 'ERR_KEY_FILE' }, json);
    }
    for (const other of ['', '[]', 'null', '{"a"', '-----BEGIN PRIVATE KEY-----']) {
      assert.throws(() => parseSealedKey(other, 'root.key.json'), { code: 'ERR_KEY_FILE' });
    }
  });
});
