import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  randomBytes,
} from 'node:crypto';
import { der, oids } from '@countersign/x509';
import { ecdsaOverDigest } from './ecdsa-over-digest.ts';
import type { KmsHandler, KmsReply } from './kms-double.ts';

interface VaultKey {
  readonly kty: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * Azure Key Vault 7.4 as its REST reference describes it, for the four calls that we make; whoever comes without a
 * token is challenged as the service does.
 */
export function azureKeyVault(token: string, origin: () => string): KmsHandler {
  const keys = new Map<string, VaultKey>();
  return ({ method, path, query, authorization, body }) => {
    if (authorization !== `Bearer ${token}`) return challenge();
    if (query['api-version'] === undefined) return refuse(400, 'api-version is missing');
    const [, name = '', version, verb] =
      /^\/keys\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? [];
    if (method === 'POST' && version === 'create') {
      const { kty, crv, key_size, ...others } = body as Record<string, string | number>;
      const unknown = Object.keys(others).find(
        (key) => !['key_ops', 'attributes', 'tags'].includes(key),
      );
      if (unknown !== undefined) return refuse(400, `unknown member ${unknown}`);
      const id = `/keys/${name}/${randomBytes(16).toString('hex')}`;
      const pair = String(kty).startsWith('EC')
        ? generateKeyPairSync('ec', { namedCurve: String(crv) })
        : generateKeyPairSync('rsa', { modulusLength: Number(key_size) });
      keys.set(id, { kty: String(kty), ...pair });
      return describe(id);
    }
    if (method === 'DELETE') {
      const [id] = [...keys.keys()].filter((key) => key.startsWith(`/keys/${name}/`));
      if (id === undefined) return refuse(404, `${name} was not found`);
      const reply = describe(id);
      keys.delete(id);
      return reply;
    }
    const id = `/keys/${name}/${version}`;
    const key = keys.get(id);
    if (key === undefined) return refuse(404, `A key with name ${name} was not found`);
    if (method === 'GET') return describe(id);
    if (method === 'POST' && verb === 'sign') {
      const { alg, value } = body as { alg: string; value: string };
      const signature = signDigest(key, alg, new Uint8Array(Buffer.from(value, 'base64url')));
      const kid = `${origin()}${id}`;
      return { status: 200, body: { kid, value: Buffer.from(signature).toString('base64url') } };
    }
    return refuse(404, 'no such operation');
  };

  function describe(id: string): KmsReply {
    const key = keys.get(id);
    const { kty: _, ...jwk } = key?.publicKey.export({ format: 'jwk' }) ?? {};
    const shown = { kid: `${origin()}${id}`, kty: key?.kty, key_ops: ['sign', 'verify'], ...jwk };
    return { status: 200, body: { key: shown, attributes: { enabled: true } } };
  }
}

const hashOids: Readonly<Record<string, string>> = {
  '256': oids.sha256,
  '384': oids.sha384,
  '512': oids.sha512,
};

function signDigest({ privateKey, kty }: VaultKey, alg: string, digest: Uint8Array): Uint8Array {
  if (kty.startsWith('EC')) return ecdsaOverDigest(privateKey, digest);
  if (!alg.startsWith('RS')) throw new TypeError(`${alg} is not played here`);
  const identifier = der.sequence(der.oid(hashOids[alg.slice(2)] ?? ''), der.null());
  const info = der.sequence(identifier, der.octetString(digest));
  return privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, info);
}

function challenge(): KmsReply {
  const parts = 'authorization="https://login.example/tenant", resource="https://vault.azure.net"';
  return {
    status: 401,
    headers: { 'www-authenticate': `Bearer ${parts}` },
    body: {
      error: { code: 'Unauthorized', message: 'AKV10000: Request is missing a Bearer token' },
    },
  };
}

function refuse(status: number, message: string): KmsReply {
  return { status, body: { error: { code: 'BadParameter', message } } };
}
