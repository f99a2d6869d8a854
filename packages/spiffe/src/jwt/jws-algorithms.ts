import { constants, type KeyObject, verify } from 'node:crypto';

/** A row of RFC 7518 §3.1, or of RFC 8037. */
export interface JwsAlgorithm {
  readonly name: string;
  readonly keyType: 'ec' | 'rsa' | 'ed25519';
  /** Of an EC key; OpenSSL's name. */
  readonly curve?: string;
  /** Undefined: the algorithm has its own. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined;
  readonly options: Readonly<Record<string, unknown>>;
}

// JWT-SVID §2.2: these nine, and no others.
const rows: readonly JwsAlgorithm[] = [
  ...(['256', '384', '512'] as const).flatMap((bits): JwsAlgorithm[] => {
    const hash = `sha${bits}` as const;
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
    return [
      { name: `RS${bits}`, keyType: 'rsa', hash, options: {} },
      { name: `PS${bits}`, keyType: 'rsa', hash, options: { padding, saltLength } },
    ];
  }),
  es('ES256', 'prime256v1', 'sha256'),
  es('ES384', 'secp384r1', 'sha384'),
  es('ES512', 'secp521r1', 'sha512'),
];

const byName = new Map(rows.map((row) => [row.name, row]));

export function jwsAlgorithm(name: unknown): JwsAlgorithm | undefined {
  return typeof name === 'string' ? byName.get(name) : undefined;
}

/** What tokens of other issuers may be signed with: those of JWT-SVIDs, and EdDSA (RFC 8037 §3.1) with Ed25519. */
export function bearerAlgorithm(name: unknown): JwsAlgorithm | undefined {
  return name === edDsa.name ? edDsa : jwsAlgorithm(name);
}

const edDsa: JwsAlgorithm = { name: 'EdDSA', keyType: 'ed25519', hash: undefined, options: {} };

/** The default algorithm of a key; undefined where it has none that JWT-SVIDs allow. */
export function jwsAlgorithmOf(key: KeyObject): JwsAlgorithm | undefined {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType === 'rsa') return byName.get('RS256');
  if (key.asymmetricKeyType !== 'ec') return undefined;
  return rows.find((row) => row.curve === curve);
}

export function fitsKey({ keyType, curve }: JwsAlgorithm, key: KeyObject): boolean {
  if (key.asymmetricKeyType !== keyType) return false;
  return curve === undefined || key.asymmetricKeyDetails?.namedCurve === curve;
}

export function verifyJws(
  { hash, options }: JwsAlgorithm,
  key: KeyObject,
  signed: string,
  signature: Uint8Array,
): boolean {
  return verify(hash ?? null, Buffer.from(signed), { key, ...options }, signature);
}

// RFC 7518 §3.4: r and s side by side.
function es(name: string, curve: string, hash: JwsAlgorithm['hash']): JwsAlgorithm {
  return { name, keyType: 'ec', curve, hash, options: { dsaEncoding: 'ieee-p1363' } };
}
