import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { fromBase64 } from '@countersign/base';
import {
  DerReader,
  defaultAlgorithmOf,
  formatKeyKind,
  type KeyKind,
  keyKindOf,
  parseSpki,
  type SignatureAlgorithm,
  type Signer,
  type SubjectPublicKeyInfo,
  signatureAlgorithms,
  verifySignature,
} from '@countersign/x509';
import { formatKeyDescription, isKeyReference, parseKeyDescription } from './key-reference.ts';
import type { KeyDescription, KeyStore } from './key-store.ts';

export interface KeyStoreUnderTest {
  /** A store over the same place at each call, as after a restart. */
  readonly open: () => Promise<KeyStore>;
  /** Kinds that it makes. */
  readonly kinds: readonly KeyKind[];
  /** A kind that it does not make. */
  readonly refused?: KeyKind;
  /** Whether RSA keys also sign by PSS. */
  readonly signsPss: boolean;
  /** Texts that nothing may print: PINs, passphrases, credentials. */
  readonly secrets: readonly string[];
  /** True for stores that forget with their object. */
  readonly isVolatile?: boolean;
  /** Why it, or its double, cannot sign large data. */
  readonly noLargeData?: string;
}

const data = new TextEncoder().encode('what is signed');

/** What every store of keys does, wherever it keeps them. */
export function signerSuite(
  name: string,
  subject: KeyStoreUnderTest,
  options: { readonly skip?: string | false } = {},
): void {
  describe(name, { skip: options.skip ?? false }, () => {
    let store: KeyStore;
    const made: KeyDescription[] = [];

    before(async () => {
      store = await subject.open();
    });
    after(async () => {
      for (const description of made) await store?.discard(description).catch(() => {});
      await store?.close();
    });
    const generate = async (kind: KeyKind, label: string) => {
      const description = await store.generate(kind, label);
      made.push(description);
      return description;
    };

    for (const kind of subject.kinds) {
      it(`makes a key ${formatKeyKind(kind)} whose signatures verify under its public key, also after a restart`, async () => {
        const description = await generate(kind, 'root');
        const written = formatKeyDescription(description);
        const read = parseKeyDescription(written, 'root.key.json');
        assert.deepEqual(read, description);
        assert.equal(read.name, 'root');
        const opener = subject.isVolatile === true ? store : await subject.open();
        const signer = await opener.open(read);
        assert.deepEqual(keyKindOf(signer.spki), kind);
        assert.equal(signer.algorithm.name, defaultAlgorithmOf(kind).name);
        if (isKeyReference(read)) {
          assert.deepEqual(signer.spki.raw, fromBase64(read.spki));
        }
        const signature = await signer.sign(data);
        assert.ok(verifies(signer, data, signature));
        assert.ok(!verifies(signer, Uint8Array.of(...data, 0), signature));
        if (opener !== store) await opener.close();
      });
    }

    it('signs for many at once, each signature that of its own data', async () => {
      const signer = await store.open(await generate(ofType('EC') ?? first(subject), 'busy'));
      const texts = Array.from({ length: 20 }, (_, i) => Uint8Array.of(i, 1, 2));
      const signatures = await Promise.all(texts.map((text) => signer.sign(text)));
      for (const [index, text] of texts.entries()) {
        assert.ok(verifies(signer, text, signatures[index] ?? new Uint8Array()));
      }
    });

    const skip = subject.noLargeData ?? false;
    it('signs large data, as a list of a hundred thousand revoked certificates is', {
      skip,
    }, async () => {
      const signer = await store.open(await generate(first(subject), 'large'));
      const large = new Uint8Array(4 * 1024 * 1024).fill(7);
      assert.ok(verifies(signer, large, await signer.sign(large)));
    });

    if (subject.signsPss) {
      it('signs by RSA-PSS with an RSA key where it is told to', async () => {
        const description = await generate(ofType('RSA') ?? first(subject), 'pss');
        const algorithm = signatureAlgorithms['RSA-PSS-SHA256'];
        const signer = await store.open(description, algorithm);
        assert.equal(signer.algorithm.name, 'RSA-PSS-SHA256');
        assert.ok(verifies(signer, data, await signer.sign(data)));
      });
    }

    it('refuses an algorithm that the key cannot sign with', async () => {
      const kind = first(subject);
      const other = kind.type === 'EC' ? 'RSA-SHA256' : 'ECDSA-SHA256';
      const description = await generate(kind, 'mismatch');
      await assert.rejects(store.open(description, signatureAlgorithms[other]), {
        code: 'ERR_KEY_SIGNATURE_ALGORITHM',
      });
    });

    const { refused } = subject;
    if (refused !== undefined) {
      it(`refuses a key ${formatKeyKind(refused)} by name`, async () => {
        await assert.rejects(
          store.generate(refused, 'root'),
          (thrown: Error & { code: string }) => {
            assert.equal(thrown.code, 'ERR_SIGNER_KEY_KIND');
            assert.ok(thrown.message.includes(formatKeyKind(refused)), thrown.message);
            return true;
          },
        );
      });
    }

    it('refuses the description of a key of another store', async () => {
      const description = { ...(await generate(first(subject), 'elsewhere')) };
      const foreign = isKeyReference(description)
        ? { ...description, store: description.store === 'memory' ? 'pkcs11' : 'memory' }
        : { format: 'countersign-key-reference', name: 'elsewhere', store: 'memory', place: {} };
      await assert.rejects(store.open(foreign as KeyDescription), { code: 'ERR_SIGNER_KEY' });
    });

    it('gives out no key, and prints no secret', async () => {
      const description = await generate(first(subject), 'secretive');
      const signer = await store.open(description);
      const shown = [description, signer, store]
        .flatMap((value) => [JSON.stringify(value), inspect(value, { depth: 9, showHidden: true })])
        .join('\n');
      assert.doesNotMatch(shown, /PRIVATE KEY|privateKey|PrivateKeyObject/);
      for (const secret of subject.secrets) assert.ok(!shown.includes(secret));
    });

    it('is well while it can sign', async () => {
      const health = await store.health();
      assert.ok(health.ok, JSON.stringify(health));
      assert.ok(!subject.secrets.some((secret) => health.detail.includes(secret)));
    });

    function ofType(type: KeyKind['type']): KeyKind | undefined {
      return subject.kinds.find((kind) => kind.type === type);
    }
  });
}

function first(subject: KeyStoreUnderTest): KeyKind {
  const [kind] = subject.kinds;
  assert.ok(kind !== undefined);
  return kind;
}

/** By the public key alone, read from its bytes. */
function verifies(signer: Signer, text: Uint8Array, signature: Uint8Array): boolean {
  const spki: SubjectPublicKeyInfo = parseSpki(signer.spki.raw);
  return verifySignature(spki, identifierOf(signer.algorithm), text, signature);
}

function identifierOf({ identifier }: SignatureAlgorithm) {
  const inner = DerReader.over(identifier, 'algorithm').sequence('algorithm');
  const oid = inner.oid('algorithm');
  const parameters = inner.atEnd ? undefined : inner.any('algorithm');
  return { raw: identifier, oid, parameters };
}
