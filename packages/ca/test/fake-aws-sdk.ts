import { constants, generateKeyPairSync, type KeyObject, privateEncrypt, sign } from 'node:crypto';
import { der, oids } from '@countersign/x509';
import type { AwsSdk } from '../src/signers/kms/aws-kms-store.ts';

type Input = Readonly<Record<string, unknown>>;

/** What was sent, as `[command, input]`. */
export interface FakeAws {
  readonly sdk: AwsSdk;
  readonly sent: [string, Input][];
  readonly clients: object[];
  /** Thrown instead of the next answer. */
  fail: Error | undefined;
}

/**
 * The SDK's surface over `node:crypto`, for what moto does not do: signatures over digests, and failures on demand.
 */
export function fakeAws(): FakeAws {
  const keys = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>();
  const fake: FakeAws = { sdk: {} as AwsSdk, sent: [], clients: [], fail: undefined };
  const command = (name: string) =>
    class {
      readonly name = name;
      readonly input: Input;
      constructor(input: Input) {
        this.input = input;
      }
    };
  const handlers: Readonly<Record<string, (input: Input) => object>> = {
    CreateKeyCommand: ({ KeySpec }) => {
      const bits = /^RSA_(\d+)$/.exec(String(KeySpec))?.[1];
      const pair =
        bits === undefined
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('rsa', { modulusLength: Number(bits) });
      const Arn = `arn:aws:kms:eu-central-1:1:key/${keys.size + 1}`;
      keys.set(Arn, pair);
      return { KeyMetadata: { Arn } };
    },
    GetPublicKeyCommand: ({ KeyId }) => {
      const PublicKey = keyOf(KeyId).publicKey.export({ format: 'der', type: 'spki' });
      return { PublicKey: new Uint8Array(PublicKey) };
    },
    SignCommand: ({ KeyId, Message, MessageType, SigningAlgorithm }) => {
      const { privateKey } = keyOf(KeyId);
      const message = Message as Uint8Array;
      if (MessageType === 'RAW')
        return { Signature: signRaw(privateKey, message, SigningAlgorithm) };
      const algorithm = der.sequence(der.oid(oids.sha256), der.null());
      const info = der.sequence(algorithm, der.octetString(message));
      const padding = constants.RSA_PKCS1_PADDING;
      return { Signature: new Uint8Array(privateEncrypt({ key: privateKey, padding }, info)) };
    },
    ScheduleKeyDeletionCommand: ({ KeyId }) => {
      keys.delete(`arn:aws:kms:eu-central-1:1:key/${KeyId}`);
      return {};
    },
  };
  const keyOf = (id: unknown) => {
    const pair = keys.get(String(id));
    if (pair !== undefined) return pair;
    throw Object.assign(new Error('no such key'), {
      name: 'NotFoundException',
      $metadata: { httpStatusCode: 400 },
    });
  };
  class KMSClient {
    constructor(options: object) {
      fake.clients.push(options);
    }
    async send(sent: object) {
      const { name, input } = sent as { name: string; input: Input };
      fake.sent.push([name, input]);
      const { fail } = fake;
      fake.fail = undefined;
      if (fail !== undefined) throw fail;
      return handlers[name]?.(input) ?? {};
    }
    destroy() {}
  }
  const commands = Object.fromEntries(Object.keys(handlers).map((name) => [name, command(name)]));
  return Object.assign(fake, { sdk: { KMSClient, ...commands } as unknown as AwsSdk });
}

function signRaw(key: KeyObject, message: Uint8Array, algorithm: unknown): Uint8Array {
  const isPss = String(algorithm).startsWith('RSASSA_PSS');
  const options = isPss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  return new Uint8Array(sign('sha256', message, { key, ...options }));
}
