import { CountersignError } from '@countersign/base';
import type { KeyKind } from '@countersign/x509';
import { Option } from 'commander';

const keyTypes = {
  p256: { type: 'EC', curve: 'P-256' },
  p384: { type: 'EC', curve: 'P-384' },
  p521: { type: 'EC', curve: 'P-521' },
  ed25519: { type: 'Ed25519' },
  mldsa44: { type: 'ML-DSA', set: 44 },
  mldsa65: { type: 'ML-DSA', set: 65 },
  mldsa87: { type: 'ML-DSA', set: 87 },
  rsa2048: { type: 'RSA', bits: 2048 },
  rsa3072: { type: 'RSA', bits: 3072 },
  rsa4096: { type: 'RSA', bits: 4096 },
} as const satisfies Readonly<Record<string, KeyKind>>;

export type KeyTypeName = keyof typeof keyTypes;

export const keyTypeNames = Object.keys(keyTypes) as readonly KeyTypeName[];

export function keyKindNamed(word: KeyTypeName): KeyKind {
  return keyTypes[word];
}

/** `--key-type` of commands that make a key; {@link keyKindOfOption} turns the word into what it stands for. */
export function keyTypeOption(otherwise: string): Option {
  const option = new Option(
    '--key-type <type>',
    `kind of the key that is made here; ${otherwise} unless given`,
  ).choices(keyTypeNames);
  const choose = option.parseArg;
  return option.argParser((word: string, previous: unknown) => {
    if (/^(?:pkcs11|tpm):/.test(word)) throw inHardware(word);
    return choose?.(word, previous);
  });
}

/** Node's TLS signs with keys in memory alone. */
function inHardware(word: string): CountersignError {
  const [scheme] = word.split(':');
  const message = `--key-type ${scheme}:…: the key of a certificate that TLS uses cannot be in hardware`;
  return new CountersignError('ERR_IDENTITY_TLS_KEY', message);
}

export function keyKindOfOption(word: string | undefined): KeyKind | undefined {
  return word === undefined ? undefined : keyTypes[word as KeyTypeName];
}
