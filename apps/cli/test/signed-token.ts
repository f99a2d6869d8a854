import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

/** An issuer of tokens with one key, for tests. */
export interface TokenIssuer {
  readonly jwks: string;
  token(claims: object): string;
}

export function tokenIssuer(): TokenIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...(publicKey as KeyObject).export({ format: 'jwk' }), kid: 'k', use: 'sig' };
  return {
    jwks: JSON.stringify({ keys: [jwk] }),
    token(claims) {
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const exp = Math.floor(Date.now() / 1000) + 300;
      const signed = `${part({ alg: 'ES256', kid: 'k' })}.${part({ exp, ...claims })}`;
      const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
      return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
    },
  };
}
