import {
  type Clock,
  CountersignError,
  equalBytes,
  fromHex,
  type Log,
  toHex,
} from '@countersign/base';
import type { Curve, Signer } from '@countersign/x509';
import { makeKeyReference, readNewPublicKey } from '../key-reference.ts';
import { type SecretPlaces, secretReader } from '../secret-source.ts';
import { readUlong, ulong } from './call-memory.ts';
import type { Cryptoki } from './cryptoki.ts';
import { cka, ckk, cko } from './cryptoki-constants.ts';
import { type KeyPairRow, keyPairRowOf } from './key-pair-rows.ts';
import { parseKeyUri } from './key-uri.ts';
import { pkcs11Store } from './pkcs11-store.ts';
import { Pkcs11Token, type TokenTools } from './pkcs11-token.ts';
import type { Session } from './token-connection.ts';
import { attributeOf, findObjects } from './token-objects.ts';

export interface OpenKeyOptions {
  /** RFC 7512, see `parseKeyUri`. */
  readonly uri: string;
  readonly secrets: SecretPlaces;
  readonly clock: Clock;
  readonly log: Log;
  /** How the module is loaded. Default: through koffi. */
  readonly load?: ((path: string) => Promise<Cryptoki>) | undefined;
}

export interface OpenKey {
  readonly signer: Signer;
  close(): Promise<void>;
}

/**
 * A key that somebody made in a token, for signing: sensitive, never extractable, made there.
 *
 * @throws CountersignError ERR_SIGNER_URI, ERR_SIGNER_KEY, ERR_SIGNER_*
 */
export async function openKeyByUri(options: OpenKeyOptions): Promise<OpenKey> {
  const { secrets, clock, log, load } = options;
  const wanted = parseKeyUri(options.uri);
  const { module, token: label, serial } = wanted;
  const pin = secretReader(wanted.pin, secrets, `PIN of token "${label}"`);
  const parts = { module, label, serial, pin, load, clock, log };

  // 1. which key is meant, and what its public half is
  const token = new Pkcs11Token(parts);
  const { title } = token;
  const name = wanted.object ?? `id ${wanted.id}`;
  const found = await token
    .use(`find the key "${name}"`, async (session, tools) => {
      const template = [
        { type: cka.class, value: ulong(cko.privateKey) },
        ...(wanted.object === undefined
          ? []
          : [{ type: cka.label, value: new TextEncoder().encode(wanted.object) }]),
        ...(wanted.id === undefined
          ? []
          : [{ type: cka.id, value: fromHex(wanted.id) ?? new Uint8Array() }]),
      ];
      const [key, second] = await findObjects(session, tools.module, template);
      if (key === undefined) return 'it has no private key of that name';
      if (second !== undefined)
        return 'it has several private keys of that name, tell them by "id"';
      const id = await attributeOf(session, tools.module, key, cka.id);
      const spki = await publicOf(session, tools, id, title);
      return typeof spki === 'string' ? spki : { id: toHex(id), spki };
    })
    .finally(() => token.close());
  if (typeof found === 'string') throw keyError(name, title, found);

  // 2. opened as the authority's own keys are: it must never have been outside
  const store = pkcs11Store(parts);
  try {
    const { raw } = readNewPublicKey(found.spki, title);
    const signer = await store.open(makeKeyReference('pkcs11', name, raw, { id: found.id }));
    return { signer, close: () => store.close() };
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

/** Of the public key beside it, which has the same id; or why there is none. */
async function publicOf(
  session: Session,
  { module }: TokenTools,
  id: Uint8Array,
  title: string,
): Promise<Uint8Array | string> {
  const [key] = await findObjects(session, module, [
    { type: cka.class, value: ulong(cko.publicKey) },
    { type: cka.id, value: id },
  ]);
  if (key === undefined) return 'its public key is not beside it';
  const type = readUlong(await attributeOf(session, module, key, cka.keyType), 0);
  const parameters =
    type === ckk.ec ? await attributeOf(session, module, key, cka.ecParams) : undefined;
  const row = rowOf(type, parameters, title);
  if (row === undefined) return 'it is no key of RSA, P-256, P-384, P-521 or Ed25519';
  const values: Uint8Array[] = [];
  for (const each of row.read) values.push(await attributeOf(session, module, key, each));
  return row.spki(values);
}

const curves: readonly Curve[] = ['P-256', 'P-384', 'P-521'];

function rowOf(
  type: bigint,
  parameters: Uint8Array | undefined,
  title: string,
): KeyPairRow | undefined {
  if (type === ckk.rsa) return keyPairRowOf({ type: 'RSA', bits: 2048 }, title);
  if (type === ckk.ecEdwards) return keyPairRowOf({ type: 'Ed25519' }, title);
  const rows = curves.map((curve) => keyPairRowOf({ type: 'EC', curve }, title));
  const own = parameters ?? new Uint8Array();
  return rows.find((row) => equalBytes(row.parameters[0]?.value ?? new Uint8Array(), own));
}

function keyError(name: string, title: string, why: string): CountersignError {
  return new CountersignError('ERR_SIGNER_KEY', `open the key "${name}" in ${title}: ${why}`, {
    fields: { key: name },
    hint: 'compare object and id with what the token has: pkcs11-tool --module FILE --list-objects',
  });
}
