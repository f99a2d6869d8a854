import { hash, randomBytes } from 'node:crypto';
import { type Clock, CountersignError, fromBase64, toBase64, toHex } from '@countersign/base';
import {
  decodePemOf,
  defaultAlgorithmOf,
  formatKeyKind,
  type KeyKind,
  keyKindOf,
  type SignatureAlgorithm,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import { checkedSigner, signatureAlgorithmFor } from '../checked-signer.ts';
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

export interface GoogleKmsOptions {
  /** `projects/P/locations/L/keyRings/R`: exists already. */
  readonly keyRing: string;
  /** Default `hsm`. */
  readonly protection?: 'hsm' | 'software' | undefined;
  /** Default https://cloudkms.googleapis.com. */
  readonly endpoint?: string | undefined;
  /** How long a call may take. Default 10 s, twelve times that where a key is made. */
  readonly timeoutMs?: number | undefined;
  /** A bearer token. Default: application default credentials, by the package google-auth-library. */
  readonly token?: (() => Promise<string>) | undefined;
  readonly clock: Clock;
}

const scope = 'https://www.googleapis.com/auth/cloudkms';
const packageName = 'google-auth-library';

/** What we use of google-auth-library. */
interface GoogleAuthPackage {
  readonly GoogleAuth: new (options: {
    readonly scopes: string;
  }) => {
    getAccessToken(): Promise<string | null | undefined>;
  };
}

/**
 * Keys in Google Cloud KMS, made there, over its REST interface (v1). The authority needs
 * cloudkms.cryptoKeys.create for init, cloudkms.cryptoKeyVersions.viewPublicKey and useToSign afterwards.
 */
export function googleKmsStore(options: GoogleKmsOptions): KeyStore {
  const title = `Google Cloud KMS ${options.keyRing}`;
  const { clock, timeoutMs = 10_000, keyRing } = options;
  const endpoint = checkEndpoint(
    options.endpoint ?? 'https://cloudkms.googleapis.com',
    'kms.endpoint',
  );
  const token = options.token ?? applicationCredentials(title);
  const requester: KmsRequester = { title, token, clock, timeoutMs };
  const made = new Set<string>();
  const opened = new Set<string>();
  const urlOf = (resource: string) => `${endpoint}/v1/${resource}`;

  async function publicKeyOf(version: string, attempted: string): Promise<Uint8Array> {
    const url = urlOf(`${version}/publicKey`);
    const { pem } = membersOf(await requestKms({ method: 'GET', url, attempted }, requester));
    const [block] = typeof pem === 'string' ? decodePemOf(pem, ['PUBLIC KEY']) : [];
    if (block !== undefined) return block;
    throw incompleteAnswer(`${attempted} in ${title}`, 'public key');
  }

  /** A key in an HSM is not there at once. */
  async function untilEnabled(version: string, attempted: string): Promise<void> {
    const deadline = clock.monotonic() + 12 * timeoutMs;
    for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, 2000)) {
      const url = urlOf(version);
      const { state } = membersOf(await requestKms({ method: 'GET', url, attempted }, requester));
      if (state === 'ENABLED') return;
      if (state === 'PENDING_GENERATION' && clock.monotonic() < deadline) {
        await clock.sleep(pauseMs);
        continue;
      }
      const message = `${attempted} in ${title}: its state is ${String(state)}, ENABLED is expected`;
      throw new CountersignError('ERR_SIGNER_KEY', message);
    }
  }

  return {
    title,
    async generate(kind, name) {
      const attempted = `make a key ${formatKeyKind(kind)} for "${name}"`;
      const id = `${name}-${toHex(randomBytes(4))}`;
      const protectionLevel = (options.protection ?? 'hsm').toUpperCase();
      const versionTemplate = { algorithm: keyAlgorithmOf(kind, title), protectionLevel };
      const body = { purpose: 'ASYMMETRIC_SIGN', versionTemplate };
      const url = urlOf(`${keyRing}/cryptoKeys?cryptoKeyId=${id}`);
      await requestKms({ method: 'POST', url, body, attempted, mayRepeat: false }, requester);
      const version = `${keyRing}/cryptoKeys/${id}/cryptoKeyVersions/1`;
      made.add(version);
      await untilEnabled(version, attempted);
      const spki = readNewPublicKey(await publicKeyOf(version, attempted), title);
      return makeKeyReference('google-kms', name, spki.raw, { version });
    },
    async open(description, wished) {
      const { spki, place } = readKeyReference(description, 'google-kms', ['version']);
      const { name } = description;
      const algorithm = fixedAlgorithm(spki, wished, title);
      const found = await publicKeyOf(place.version, `open the key "${name}"`);
      if (isKeyReference(description)) checkPublicKey(description, found, title);
      opened.add(place.version);
      return checkedSigner({
        spki,
        algorithm,
        title,
        async sign(data) {
          const attempted = `sign with key "${name}"`;
          const url = urlOf(`${place.version}:asymmetricSign`);
          const body = inputOf(data, algorithm);
          const answer = await requestKms({ method: 'POST', url, body, attempted }, requester);
          const { signature } = membersOf(answer);
          const bytes = typeof signature === 'string' ? fromBase64(signature) : undefined;
          if (bytes !== undefined) return bytes;
          throw incompleteAnswer(`${attempted} in ${title}`, 'signature');
        },
      });
    },
    async discard(description) {
      const { place } = readKeyReference(description, 'google-kms', ['version']);
      if (!made.delete(place.version)) return;
      const attempted = `remove the key "${description.name}"`;
      const url = urlOf(`${place.version}:destroy`);
      await requestKms({ method: 'POST', url, body: {}, attempted }, requester);
    },
    health: () =>
      healthBy(title, opened, (version) => publicKeyOf(version, 'ask for a public key')),
    close: async () => {},
  };
}

function applicationCredentials(title: string): () => Promise<string> {
  let auth: Promise<InstanceType<GoogleAuthPackage['GoogleAuth']>> | undefined;
  return async () => {
    auth ??= loadPackage(packageName, title).then(
      (loaded) => new (loaded as GoogleAuthPackage).GoogleAuth({ scopes: scope }),
    );
    const found = await (await auth).getAccessToken();
    if (typeof found === 'string') return found;
    throw new TypeError('application default credentials give no access token');
  };
}

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
function keyAlgorithmOf(kind: KeyKind, title: string): string {
  const algorithm = keyAlgorithms.get(formatKeyKind(kind));
  if (algorithm !== undefined) return algorithm;
  const known = [...keyAlgorithms.keys()].join(', ');
  const message = `make a key ${formatKeyKind(kind)} in ${title}: it makes ${known}`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

/** The service ties a key to one algorithm: the one that we would choose for it. */
const keyAlgorithms: ReadonlyMap<string, string> = new Map([
  ['ECDSA P-256', 'EC_SIGN_P256_SHA256'],
  ['ECDSA P-384', 'EC_SIGN_P384_SHA384'],
  ['RSA 2048', 'RSA_SIGN_PKCS1_2048_SHA256'],
  ['RSA 3072', 'RSA_SIGN_PKCS1_3072_SHA256'],
  ['RSA 4096', 'RSA_SIGN_PKCS1_4096_SHA256'],
  ['Ed25519', 'EC_SIGN_ED25519'],
]);

/** @throws CountersignError ERR_KEY_SIGNATURE_ALGORITHM */
function fixedAlgorithm(
  spki: SubjectPublicKeyInfo,
  wished: SignatureAlgorithm | undefined,
  title: string,
): SignatureAlgorithm {
  const algorithm = signatureAlgorithmFor(spki, wished);
  const kind = keyKindOf(spki);
  const fixed = kind === undefined ? undefined : defaultAlgorithmOf(kind).name;
  if (algorithm.name === fixed) return algorithm;
  const message = `sign ${algorithm.name} in ${title}: its key signs ${fixed} alone`;
  throw new CountersignError('ERR_KEY_SIGNATURE_ALGORITHM', message);
}

function inputOf(data: Uint8Array, { hash: name }: SignatureAlgorithm): unknown {
  if (name === undefined) return { data: toBase64(data) };
  return { digest: { [name]: hash(name, data, 'base64') } };
}
