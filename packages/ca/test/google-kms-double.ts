import { generateKeyPairSync, type KeyObject, privateEncrypt, sign } from 'node:crypto';
import { der, oids } from '@countersign/x509';
import { ecdsaSignatureOf } from '../src/signers/ecdsa-signature.ts';
import { ecdsaOverDigest } from './ecdsa-over-digest.ts';
import type { KmsHandler, KmsReply } from './kms-double.ts';

interface Version {
  readonly algorithm: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  state: string;
}

const generators: Readonly<Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }>> =
  {
    EC_SIGN_P256_SHA256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EC_SIGN_P384_SHA384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    EC_SIGN_ED25519: () => generateKeyPairSync('ed25519'),
    RSA_SIGN_PKCS1_2048_SHA256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };

/** Proto3 JSON takes enums by name or by number, and the SDK sends numbers. */
function enumName(value: unknown): string {
  const names: Readonly<Record<number, string>> = {
    2: 'HSM',
    5: 'ASYMMETRIC_SIGN',
    12: 'EC_SIGN_P256_SHA256',
  };
  return typeof value === 'number' ? (names[value] ?? '') : String(value);
}

const hashOids = { sha256: oids.sha256, sha384: oids.sha384, sha512: oids.sha512 };

/**
 * Google Cloud KMS v1 as its REST reference describes it, for the five calls that we make. Members that the service
 * does not know are refused, as it does.
 */
export function googleKms(token: string): KmsHandler {
  const versions = new Map<string, Version>();
  return ({ method, path, query, authorization, body }) => {
    if (authorization !== `Bearer ${token}`) return refuse(401, 'UNAUTHENTICATED');
    const created = /^\/v1\/(projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+)\/cryptoKeys$/.exec(
      path,
    );
    if (method === 'POST' && created !== null) {
      const { purpose, versionTemplate, labels: _, ...others } = body as Record<string, unknown>;
      const template = versionTemplate as Record<string, unknown>;
      const algorithm = enumName(template.algorithm);
      const protectionLevel = enumName(template.protectionLevel);
      const make = generators[algorithm];
      const isSigning = enumName(purpose) === 'ASYMMETRIC_SIGN';
      const isKnown = Object.keys(others).length === 0 && isSigning;
      if (!isKnown || make === undefined || !['HSM', 'SOFTWARE'].includes(protectionLevel)) {
        return refuse(400, 'Invalid JSON payload received');
      }
      const name = `${created[1]}/cryptoKeys/${query.cryptoKeyId}`;
      const state = protectionLevel === 'HSM' ? 'PENDING_GENERATION' : 'ENABLED';
      versions.set(`${name}/cryptoKeyVersions/1`, { algorithm, ...make(), state });
      return { status: 200, body: { name, purpose, versionTemplate } };
    }
    const [, name = '', verb] =
      /^\/v1\/(.*\/cryptoKeyVersions\/\d+)(\/publicKey|:asymmetricSign|:destroy)?$/.exec(path) ??
      [];
    const version = versions.get(name);
    if (version === undefined) return refuse(404, `${name} not found`);
    const { algorithm, state } = version;
    if (method === 'GET' && verb === undefined) {
      // A key in an HSM takes a moment.
      if (state === 'PENDING_GENERATION') version.state = 'ENABLED';
      return { status: 200, body: { name, state, algorithm } };
    }
    if (method === 'POST' && verb === ':destroy') {
      version.state = 'DESTROY_SCHEDULED';
      return { status: 200, body: { name, state: version.state } };
    }
    if (state !== 'ENABLED')
      return refuse(400, `${name} is not enabled, current state is: ${state}`);
    if (method === 'GET' && verb === '/publicKey') {
      const pem = version.publicKey.export({ format: 'pem', type: 'spki' });
      return { status: 200, body: { pem, algorithm, name } };
    }
    if (method === 'POST' && verb === ':asymmetricSign') return asymmetricSign(version, name, body);
    return refuse(404, 'no such method');
  };
}

function asymmetricSign(version: Version, name: string, body: unknown): KmsReply {
  const { digest, data, ...others } = body as Record<string, unknown>;
  if (Object.keys(others).length > 0) return refuse(400, 'Unknown name');
  const { privateKey, algorithm } = version;
  if (algorithm === 'EC_SIGN_ED25519') {
    if (typeof data !== 'string') return refuse(400, 'data is required');
    return signed(name, sign(null, Buffer.from(data, 'base64'), privateKey));
  }
  const hash = /SHA\d+$/.exec(algorithm)?.[0].toLowerCase() as keyof typeof hashOids;
  const value = (digest as Record<string, string> | undefined)?.[hash];
  if (value === undefined) return refuse(400, `digest ${hash} is required`);
  const bytes = new Uint8Array(Buffer.from(value, 'base64'));
  if (algorithm.startsWith('EC_')) {
    return signed(name, ecdsaSignatureOf(ecdsaOverDigest(privateKey, bytes)));
  }
  const identifier = der.sequence(der.oid(hashOids[hash]), der.null());
  const info = der.sequence(identifier, der.octetString(bytes));
  return signed(name, privateEncrypt(privateKey, info));
}

function signed(name: string, signature: Uint8Array): KmsReply {
  return { status: 200, body: { name, signature: Buffer.from(signature).toString('base64') } };
}

function refuse(code: number, message: string): KmsReply {
  return { status: code, body: { error: { code, message } } };
}
