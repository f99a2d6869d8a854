import { hash } from 'node:crypto';
import { type Clock, CountersignError, messageOf } from '@countersign/base';
import { formatKeyKind, type KeyKind, type SignatureAlgorithm } from '@countersign/x509';
import { checkedSigner, signatureAlgorithmFor } from '../checked-signer.ts';
import {
  checkPublicKey,
  isKeyReference,
  makeKeyReference,
  readKeyReference,
  readNewPublicKey,
} from '../key-reference.ts';
import type { KeyDescription, KeyStore } from '../key-store.ts';
import { healthBy, incompleteAnswer } from './kms-answer.ts';
import { checkEndpoint, withinTime } from './kms-request.ts';
import { loadPackage } from './load-package.ts';

export interface AwsKmsOptions {
  readonly region: string;
  /** Another address of the service, such as a VPC endpoint. */
  readonly endpoint?: string | undefined;
  /** Before the names of keys in their description, such as the trust domain. */
  readonly labelPrefix?: string | undefined;
  /** How long a call may take, repetitions by the SDK included. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** Where the SDK comes from. Default: the package, if it is installed. */
  readonly load?: (() => Promise<AwsSdk>) | undefined;
  readonly clock: Clock;
}

/** What we use of `@aws-sdk/client-kms`. */
export interface AwsSdk {
  readonly KMSClient: new (options: {
    readonly region: string;
    readonly endpoint?: string;
  }) => AwsClient;
  readonly CreateKeyCommand: AwsCommand;
  readonly GetPublicKeyCommand: AwsCommand;
  readonly SignCommand: AwsCommand;
  readonly ScheduleKeyDeletionCommand: AwsCommand;
}

type AwsCommand = new (input: Readonly<Record<string, unknown>>) => object;

interface AwsClient {
  send(command: object, options: { readonly abortSignal: AbortSignal }): Promise<AwsAnswer>;
  destroy(): void;
}

interface AwsAnswer {
  readonly KeyMetadata?: { readonly Arn?: string };
  readonly PublicKey?: Uint8Array;
  readonly Signature?: Uint8Array;
}

/** The shortest that the service allows: a key taken back can still be saved by whoever regrets it. */
const deletionDays = 7;

/**
 * Keys in AWS KMS, made there. Credentials are found as the SDK finds them: environment, profile, container or machine
 * role. The authority needs kms:CreateKey for init, kms:GetPublicKey and kms:Sign afterwards.
 */
export function awsKmsStore(options: AwsKmsOptions): KeyStore {
  const title = `AWS KMS in ${options.region}`;
  const { clock, timeoutMs = 10_000 } = options;
  const made = new Set<string>();
  const opened = new Set<string>();
  let client: Promise<{ sdk: AwsSdk; client: AwsClient }> | undefined;

  async function send(
    attempted: string,
    name: Exclude<keyof AwsSdk, 'KMSClient'>,
    input: Readonly<Record<string, unknown>>,
  ): Promise<AwsAnswer> {
    client ??= connect(options, title);
    const { sdk, client: connected } = await client.catch((thrown: unknown) => {
      client = undefined;
      throw thrown;
    });
    const what = `${attempted} in ${title}`;
    return withinTime({ clock, timeoutMs, attempted: what }, async (abortSignal) => {
      try {
        return await connected.send(new sdk[name](input), { abortSignal });
      } catch (thrown) {
        throw explain(what, thrown);
      }
    });
  }

  return {
    title,
    async generate(kind, name) {
      const attempted = `make a key ${formatKeyKind(kind)} for "${name}"`;
      const KeySpec = keySpecOf(kind, title);
      const Description = [options.labelPrefix, name].filter((part) => part).join(' ');
      const input = { KeySpec, KeyUsage: 'SIGN_VERIFY', Description };
      const { KeyMetadata } = await send(attempted, 'CreateKeyCommand', input);
      const arn = KeyMetadata?.Arn;
      if (arn === undefined) throw incompleteAnswer(`${attempted} in ${title}`, 'ARN of the key');
      made.add(arn);
      const { PublicKey } = await send(attempted, 'GetPublicKeyCommand', { KeyId: arn });
      if (PublicKey === undefined) throw incompleteAnswer(`${attempted} in ${title}`, 'public key');
      const spki = readNewPublicKey(new Uint8Array(PublicKey), title);
      return makeKeyReference('aws-kms', name, spki.raw, { key: arn });
    },
    async open(description, wished) {
      const { spki, place } = readKeyReference(description, 'aws-kms', ['key']);
      const { name } = description;
      const algorithm = signatureAlgorithmFor(spki, wished);
      const SigningAlgorithm = signingAlgorithmOf(algorithm, title);
      const input = { KeyId: place.key };
      const { PublicKey } = await send(`open the key "${name}"`, 'GetPublicKeyCommand', input);
      checkAgainst(description, PublicKey, title);
      opened.add(place.key);
      return checkedSigner({
        spki,
        algorithm,
        title,
        async sign(data) {
          const { Signature } = await send(`sign with key "${name}"`, 'SignCommand', {
            KeyId: place.key,
            SigningAlgorithm,
            ...messageOfData(data, algorithm),
          });
          if (Signature !== undefined) return new Uint8Array(Signature);
          throw incompleteAnswer(`sign with key "${name}" in ${title}`, 'signature');
        },
      });
    },
    async discard(description) {
      const { place } = readKeyReference(description, 'aws-kms', ['key']);
      if (!made.delete(place.key)) return;
      await send(`remove the key "${description.name}"`, 'ScheduleKeyDeletionCommand', {
        KeyId: place.key.split('/').at(-1),
        PendingWindowInDays: deletionDays,
      });
    },
    health: () =>
      healthBy(title, opened, (key) =>
        send('ask for a public key', 'GetPublicKeyCommand', { KeyId: key }),
      ),
    async close() {
      const connected = await client?.catch(() => undefined);
      connected?.client.destroy();
    },
  };
}

async function connect(
  { region, endpoint, load }: AwsKmsOptions,
  title: string,
): Promise<{ sdk: AwsSdk; client: AwsClient }> {
  const loaded =
    load === undefined ? await loadPackage('@aws-sdk/client-kms', title) : await load();
  const sdk = loaded as AwsSdk;
  const address =
    endpoint === undefined ? {} : { endpoint: checkEndpoint(endpoint, 'kms.endpoint') };
  return { sdk, client: new sdk.KMSClient({ region, ...address }) };
}

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
function keySpecOf(kind: KeyKind, title: string): string {
  if (kind.type === 'EC') return `ECC_NIST_${kind.curve.replace('-', '')}`;
  if (kind.type === 'RSA' && [2048, 3072, 4096].includes(kind.bits)) return `RSA_${kind.bits}`;
  if (kind.type === 'Ed25519') return 'ECC_NIST_EDWARDS25519';
  const message = `make a key ${formatKeyKind(kind)} in ${title}: use RSA 2048, 3072 or 4096, ECDSA or Ed25519`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

const signingAlgorithms: ReadonlyMap<string, string> = new Map([
  ['RSA-SHA256', 'RSASSA_PKCS1_V1_5_SHA_256'],
  ['RSA-SHA384', 'RSASSA_PKCS1_V1_5_SHA_384'],
  ['RSA-SHA512', 'RSASSA_PKCS1_V1_5_SHA_512'],
  // the salt is as long as the hash, as in our table
  ['RSA-PSS-SHA256', 'RSASSA_PSS_SHA_256'],
  ['RSA-PSS-SHA384', 'RSASSA_PSS_SHA_384'],
  ['RSA-PSS-SHA512', 'RSASSA_PSS_SHA_512'],
  ['ECDSA-SHA256', 'ECDSA_SHA_256'],
  ['ECDSA-SHA384', 'ECDSA_SHA_384'],
  ['ECDSA-SHA512', 'ECDSA_SHA_512'],
  ['Ed25519', 'ED25519_SHA_512'],
]);

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
function signingAlgorithmOf({ name }: SignatureAlgorithm, title: string): string {
  const found = signingAlgorithms.get(name);
  if (found !== undefined) return found;
  const message = `sign ${name} in ${title}: it makes no such signatures`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

/** What the service takes of data that it hashes by itself. */
const longestRaw = 4096;

/** Larger data than a call takes, such as revocation lists, is hashed here. */
function messageOfData(
  data: Uint8Array,
  { hash: name, ...algorithm }: SignatureAlgorithm,
): { readonly Message: Uint8Array; readonly MessageType: 'RAW' | 'DIGEST' } {
  if (data.byteLength <= longestRaw) return { Message: data, MessageType: 'RAW' };
  if (name === undefined) {
    const sides = `${data.byteLength} bytes, AWS KMS takes ${longestRaw} for ${algorithm.name}`;
    throw new CountersignError('ERR_SIGNER_KEY_KIND', `sign ${sides}`);
  }
  return { Message: new Uint8Array(hash(name, data, 'buffer')), MessageType: 'DIGEST' };
}

function checkAgainst(
  description: KeyDescription,
  found: Uint8Array | undefined,
  title: string,
): void {
  if (isKeyReference(description)) checkPublicKey(description, found, title);
}

const aboutTheKey = new Set(['NotFoundException', 'DisabledException', 'KMSInvalidStateException']);

function explain(what: string, thrown: unknown): CountersignError {
  const { name, $metadata } = thrown as {
    readonly name?: string;
    readonly $metadata?: { readonly httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode;
  const isCredentials = name === 'CredentialsProviderError';
  const isRefused = status !== undefined && status >= 400 && status < 500 && status !== 429;
  const isBusy = name === 'ThrottlingException' || name === 'LimitExceededException';
  const code = aboutTheKey.has(name ?? '')
    ? 'ERR_SIGNER_KEY'
    : (isRefused && !isBusy) || isCredentials
      ? 'ERR_SIGNER_KMS_REFUSED'
      : 'ERR_SIGNER_KMS_UNREACHABLE';
  const message = `${what}: ${name === undefined ? '' : `${name}: `}${messageOf(thrown)}`;
  return new CountersignError(code, message, { fields: { status }, cause: thrown });
}
