import { createPublicKey, hash, randomBytes, type webcrypto } from 'node:crypto';
import { type Clock, CountersignError, messageOf, toHex } from '@countersign/base';
import { formatKeyKind, type KeyKind, type SignatureAlgorithm } from '@countersign/x509';
import { checkedSigner, signatureAlgorithmFor } from '../checked-signer.ts';
import { ecdsaSignatureOf } from '../ecdsa-signature.ts';
import {
  checkPublicKey,
  isKeyReference,
  makeKeyReference,
  readKeyReference,
  readNewPublicKey,
} from '../key-reference.ts';
import type { KeyStore } from '../key-store.ts';
import { healthBy, incompleteAnswer, membersOf } from './kms-answer.ts';
import { checkEndpoint, type KmsRequester, requestKms } from './kms-request.ts';
import { loadPackage } from './load-package.ts';

export interface AzureKeyVaultOptions {
  /** Of a vault or a managed HSM: `https://NAME.vault.azure.net`. */
  readonly vault: string;
  /** Default `hsm`, which needs a premium vault or a managed HSM. */
  readonly protection?: 'hsm' | 'software' | undefined;
  /** How long a call may take. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** A bearer token for the scope. Default: the default credential of the package @azure/identity. */
  readonly token?: ((scope: string) => Promise<string>) | undefined;
  readonly clock: Clock;
}

const packageName = '@azure/identity';
const apiVersion = '7.4';

/** What we use of @azure/identity. */
interface AzureIdentityPackage {
  readonly DefaultAzureCredential: new () => {
    getToken(scope: string): Promise<{ readonly token: string } | null>;
  };
}

/**
 * Keys in Azure Key Vault or a managed HSM, made there, over its REST interface (7.4). The authority needs the key
 * permissions create for init, get and sign afterwards.
 */
export function azureKeyVaultStore(options: AzureKeyVaultOptions): KeyStore {
  const vault = checkEndpoint(options.vault, 'kms.vault');
  const title = `Azure Key Vault ${vault}`;
  const { clock, timeoutMs = 10_000 } = options;
  const give = options.token ?? defaultCredential(title);
  const scope = scopeOf(vault);
  const requester: KmsRequester = { title, token: () => give(scope), clock, timeoutMs };
  const made = new Set<string>();
  const opened = new Set<string>();
  const urlOf = (key: string, verb = '') => `${key}${verb}?api-version=${apiVersion}`;

  async function keyOf(
    answer: unknown,
    attempted: string,
  ): Promise<{ kid: string; spki: Uint8Array }> {
    const key = membersOf(membersOf(answer).key);
    const { kid } = key;
    // What a service answers must not send our next token elsewhere.
    if (typeof kid !== 'string' || !kid.startsWith(`${vault}/keys/`)) {
      throw incompleteAnswer(`${attempted} in ${title}`, `key identifier in ${vault}`);
    }
    return { kid, spki: spkiOfJwk(key, `${attempted} in ${title}`) };
  }

  async function ask(kid: string, attempted: string): Promise<Uint8Array> {
    const answer = await requestKms({ method: 'GET', url: urlOf(kid), attempted }, requester);
    return (await keyOf(answer, attempted)).spki;
  }

  return {
    title,
    async generate(kind, name) {
      const attempted = `make a key ${formatKeyKind(kind)} for "${name}"`;
      const parameters = parametersOf(kind, options.protection ?? 'hsm', title);
      const id = `${name.replaceAll('_', '-')}-${toHex(randomBytes(4))}`;
      const url = urlOf(`${vault}/keys/${id}`, '/create');
      const body = { ...parameters, key_ops: ['sign', 'verify'], attributes: { enabled: true } };
      const request = { method: 'POST', url, body, attempted, mayRepeat: false } as const;
      const { kid, spki } = await keyOf(await requestKms(request, requester), attempted);
      made.add(kid);
      return makeKeyReference('azure-key-vault', name, readNewPublicKey(spki, title).raw, {
        key: kid,
      });
    },
    async open(description, wished) {
      const { spki, place } = readKeyReference(description, 'azure-key-vault', ['key']);
      const { name } = description;
      if (!place.key.startsWith(`${vault}/keys/`)) {
        const message = `open the key "${name}": it is "${place.key}", ca.yaml says ${vault}`;
        throw new CountersignError('ERR_SIGNER_KEY', message, { fields: { key: name } });
      }
      const algorithm = signatureAlgorithmFor(spki, wished);
      const row = signRowOf(algorithm, title);
      const found = await ask(place.key, `open the key "${name}"`);
      if (isKeyReference(description)) checkPublicKey(description, found, title);
      opened.add(place.key);
      return checkedSigner({
        spki,
        algorithm,
        title,
        async sign(data) {
          const attempted = `sign with key "${name}"`;
          const body = { alg: row.alg, value: hash(row.hash, data, 'base64url') };
          const url = urlOf(place.key, '/sign');
          const answer = await requestKms({ method: 'POST', url, body, attempted }, requester);
          const { value } = membersOf(answer);
          if (typeof value !== 'string')
            throw incompleteAnswer(`${attempted} in ${title}`, 'value');
          const raw = new Uint8Array(Buffer.from(value, 'base64url'));
          return row.isEcdsa ? ecdsaSignatureOf(raw) : raw;
        },
      });
    },
    async discard(description) {
      const { place } = readKeyReference(description, 'azure-key-vault', ['key']);
      if (!made.delete(place.key)) return;
      const attempted = `remove the key "${description.name}"`;
      // Deletion is of the key, not of one of its versions; the vault keeps it as long as its soft delete says.
      const url = urlOf(place.key.slice(0, place.key.lastIndexOf('/')));
      await requestKms({ method: 'DELETE', url, attempted }, requester);
    },
    health: () => healthBy(title, opened, (kid) => ask(kid, 'ask for a public key')),
    close: async () => {},
  };
}

/** `https://vault.azure.net/.default` of `https://NAME.vault.azure.net`, and so for every cloud and managed HSMs. */
function scopeOf(vault: string): string {
  const { hostname } = new URL(vault);
  return `https://${hostname.split('.').slice(1).join('.')}/.default`;
}

function defaultCredential(title: string): (scope: string) => Promise<string> {
  let credential: Promise<InstanceType<AzureIdentityPackage['DefaultAzureCredential']>> | undefined;
  return async (scope) => {
    credential ??= loadPackage(packageName, title).then(
      (loaded) => new (loaded as AzureIdentityPackage).DefaultAzureCredential(),
    );
    const found = await (await credential).getToken(scope);
    if (found !== null) return found.token;
    throw new TypeError('the default credential gives no access token');
  };
}

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
function parametersOf(kind: KeyKind, protection: 'hsm' | 'software', title: string) {
  const suffix = protection === 'hsm' ? '-HSM' : '';
  if (kind.type === 'EC') return { kty: `EC${suffix}`, crv: kind.curve };
  if (kind.type === 'RSA' && [2048, 3072, 4096].includes(kind.bits)) {
    return { kty: `RSA${suffix}`, key_size: kind.bits };
  }
  const message = `make a key ${formatKeyKind(kind)} in ${title}: use RSA 2048, 3072 or 4096, or ECDSA`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

interface SignRow {
  /** RFC 7518 §3.1. */
  readonly alg: string;
  readonly hash: string;
  readonly isEcdsa: boolean;
}

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
function signRowOf(algorithm: SignatureAlgorithm, title: string): SignRow {
  const { name, hash: hashName, keyTypes, options } = algorithm;
  if (hashName === undefined) {
    const message = `sign ${name} in ${title}: it makes no such signatures`;
    throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
  }
  const isEcdsa = keyTypes.includes('EC');
  const family = isEcdsa ? 'ES' : options.saltLength === undefined ? 'RS' : 'PS';
  return { alg: `${family}${hashName.slice(3)}`, hash: hashName, isEcdsa };
}

function spkiOfJwk(key: Readonly<Record<string, unknown>>, attempted: string): Uint8Array {
  const { kty, crv, x, y, n, e } = key;
  try {
    const jwk = { kty: String(kty).replace('-HSM', ''), crv, x, y, n, e } as webcrypto.JsonWebKey;
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    return new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  } catch (thrown) {
    const message = `${attempted}: its public key is not readable: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SIGNER_KMS_UNREACHABLE', message, { cause: thrown });
  }
}
