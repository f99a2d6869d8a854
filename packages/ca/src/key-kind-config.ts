import type { ErrorCode } from '@countersign/base';
import type { KeyKind } from '@countersign/x509';

/** How a configuration file writes a key: `{algorithm, curve | keySize}`. */
export interface WrittenKey {
  readonly algorithm?: string | undefined;
  readonly curve?: string | undefined;
  readonly keySize?: number | undefined;
}

export interface KeyFinding {
  readonly key: keyof WrittenKey;
  readonly code: ErrorCode;
  readonly message: string;
}

export const rsaBits = { min: 2048, max: 4096 } as const;

/** The kind of key that was written, with what stands for the rest; or what is wrong, and at which key. */
export function keyKindFromConfig(
  written: WrittenKey,
  defaults: KeyKind,
): { readonly kind: KeyKind } | { readonly finding: KeyFinding } {
  const { algorithm, curve, keySize } = written;
  if (algorithm === undefined && curve === undefined && keySize === undefined) {
    return { kind: defaults };
  }
  const name = algorithm ?? (curve === undefined && (keySize ?? 0) > 1000 ? 'RSA' : 'ECDSA');
  const read = algorithms.get(plain(name));
  if (read === undefined) {
    return refuse('algorithm', `expected ${known}, found "${name}"`);
  }
  return read(written, defaults);
}

type KeyReader = (
  written: WrittenKey,
  defaults: KeyKind,
) => { readonly kind: KeyKind } | { readonly finding: KeyFinding };

const known = '"RSA", "ECDSA", "Ed25519" or "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"';

const notYet =
  (name: string): KeyReader =>
  () => ({
    finding: {
      key: 'algorithm',
      code: 'ERR_CONFIG_UNSUPPORTED',
      message: `algorithm "${name}" is not supported yet, use ${known}`,
    },
  });

const algorithms: ReadonlyMap<string, KeyReader> = new Map(
  Object.entries({
    rsa: readRsa,
    ec: readEc,
    ecdsa: readEc,
    ed25519: readEd25519,
    rsapss: notYet('RSA-PSS'),
    ed448: notYet('Ed448'),
    dsa: notYet('DSA'),
    mldsa44: readMlDsa(44),
    mldsa65: readMlDsa(65),
    mldsa87: readMlDsa(87),
  }),
);

type Curve = 'P-256' | 'P-384' | 'P-521';

const curves: ReadonlyMap<string, Curve> = new Map<string, Curve>(
  Object.entries({
    p256: 'P-256',
    prime256v1: 'P-256',
    secp256r1: 'P-256',
    nistp256: 'P-256',
    p384: 'P-384',
    secp384r1: 'P-384',
    nistp384: 'P-384',
    p521: 'P-521',
    secp521r1: 'P-521',
    nistp521: 'P-521',
  }),
);

/** Known to the field, but not to us; said by name rather than as a misspelling. */
const otherCurves = /^(secp256k1|brainpool|x25519|curve25519|x448|p192|p224|secp|sect)/;

function readRsa(written: WrittenKey, defaults: KeyKind): ReturnType<KeyReader> {
  if (written.curve !== undefined) {
    return refuse('curve', `an RSA key has no curve, found "${written.curve}"; write keySize`);
  }
  const bits = written.keySize ?? (defaults.type === 'RSA' ? defaults.bits : rsaBits.max);
  if (bits < rsaBits.min || bits > rsaBits.max) {
    return refuse('keySize', `expected ${rsaBits.min} to ${rsaBits.max} bits, found ${bits}`);
  }
  if (bits % 8 !== 0) return refuse('keySize', `expected a multiple of 8 bits, found ${bits}`);
  return { kind: { type: 'RSA', bits } };
}

function readEc(written: WrittenKey, defaults: KeyKind): ReturnType<KeyReader> {
  const { curve, keySize } = written;
  const bySize = keySize === undefined ? undefined : curves.get(`p${keySize}`);
  if (keySize !== undefined && bySize === undefined) {
    return refuse('keySize', `expected 256, 384 or 521 for ECDSA, found ${keySize}`);
  }
  if (curve === undefined) {
    return { kind: { type: 'EC', curve: bySize ?? curveOf(defaults) } };
  }
  const found = curves.get(plain(curve));
  if (found === undefined && otherCurves.test(plain(curve))) {
    return {
      finding: {
        key: 'curve',
        code: 'ERR_CONFIG_UNSUPPORTED',
        message: `curve "${curve}" is not supported yet, use "P-256", "P-384" or "P-521"`,
      },
    };
  }
  if (found === undefined) {
    return refuse('curve', `expected "P-256", "P-384" or "P-521", found "${curve}"`);
  }
  if (bySize !== undefined && bySize !== found) {
    return refuse('keySize', `expected the size of curve "${curve}", found ${keySize}`);
  }
  return { kind: { type: 'EC', curve: found } };
}

function readEd25519(written: WrittenKey): ReturnType<KeyReader> {
  const { curve, keySize } = written;
  if (curve !== undefined && curve.toLowerCase() !== 'ed25519') {
    return refuse('curve', `Ed25519 is its own curve, found "${curve}"`);
  }
  if (keySize !== undefined && keySize !== 256) {
    return refuse('keySize', `an Ed25519 key has 256 bits, found ${keySize}`);
  }
  return { kind: { type: 'Ed25519' } };
}

/** The number of the parameter set says all (FIPS 204 §4). */
function readMlDsa(set: 44 | 65 | 87): KeyReader {
  return ({ curve, keySize }) => {
    if (curve !== undefined) return refuse('curve', `an ML-DSA key has no curve, found "${curve}"`);
    if (keySize !== undefined) {
      return refuse('keySize', `ML-DSA-${set} has one size, found ${keySize}; leave it out`);
    }
    return { kind: { type: 'ML-DSA', set } };
  };
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, '');
}

function curveOf(kind: KeyKind): Curve {
  return kind.type === 'EC' ? kind.curve : 'P-256';
}

function refuse(
  key: keyof WrittenKey,
  message: string,
): {
  readonly finding: KeyFinding;
} {
  return { finding: { key, code: 'ERR_CONFIG_VALUE', message } };
}
