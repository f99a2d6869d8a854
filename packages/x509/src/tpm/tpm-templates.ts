import { concatBytes } from '@countersign/base';
import {
  type TpmAttribute,
  tpmAlg,
  tpmAttributes,
  tpmCurves,
  tpmHashes,
} from './tpm-algorithms.ts';
import { tpm } from './tpm-writer.ts';

export type TpmKeyKind = 'ecc' | 'rsa';

const held: readonly TpmAttribute[] = ['fixedTpm', 'fixedParent', 'sensitiveDataOrigin'];
const sha256 = tpmHashes[0]?.id ?? 0;
const p256 = tpmCurves[0].id;

/** PolicySecret of the endorsement hierarchy, as the TCG EK Credential Profile §B.6.2 has it. */
const endorsementPolicy = Uint8Array.from(
  Buffer.from('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa', 'hex'),
);

/** Templates L-1 and L-2 (§B.3.3, §B.3.4): the keys that manufacturers certify. */
export function endorsementTemplate(kind: TpmKeyKind): Uint8Array {
  const attributes = [...held, 'adminWithPolicy', 'restricted', 'decrypt'] as const;
  const head = headOf(kind, attributes, endorsementPolicy);
  const cipher = concatBytes(tpm.u16(tpmAlg.aes), tpm.u16(128), tpm.u16(tpmAlg.cfb));
  const none = tpm.u16(tpmAlg.null);
  if (kind === 'rsa') {
    const unique = tpm.sized(new Uint8Array(256));
    return concatBytes(head, cipher, none, tpm.u16(2048), tpm.u32(0), unique);
  }
  const zero = tpm.sized(new Uint8Array(32));
  return concatBytes(head, cipher, none, tpm.u16(p256), none, zero, zero);
}

/** A key that signs what the TPM itself states, and nothing from outside that looks like it. */
export function attestationTemplate(kind: TpmKeyKind): Uint8Array {
  return signingTemplate(kind, [
    ...held,
    'userWithAuth',
    'noDictionaryAttack',
    'restricted',
    'sign',
  ]);
}

/** A key that signs digests. */
export function signatureTemplate(kind: TpmKeyKind): Uint8Array {
  return signingTemplate(kind, [...held, 'userWithAuth', 'noDictionaryAttack', 'sign']);
}

function signingTemplate(kind: TpmKeyKind, attributes: readonly TpmAttribute[]): Uint8Array {
  const head = headOf(kind, attributes, new Uint8Array(0));
  const scheme = kind === 'rsa' ? tpmAlg.rsassa : tpmAlg.ecdsa;
  const signs = concatBytes(tpm.u16(tpmAlg.null), tpm.u16(scheme), tpm.u16(sha256));
  if (kind === 'rsa') return concatBytes(head, signs, tpm.u16(2048), tpm.u32(0), tpm.sized());
  return concatBytes(head, signs, tpm.u16(p256), tpm.u16(tpmAlg.null), tpm.sized(), tpm.sized());
}

function headOf(
  kind: TpmKeyKind,
  attributes: readonly TpmAttribute[],
  policy: Uint8Array,
): Uint8Array {
  const bits = attributes.reduce((all, each) => all | tpmAttributes[each], 0);
  const type = kind === 'rsa' ? tpmAlg.rsa : tpmAlg.ecc;
  return concatBytes(tpm.u16(type), tpm.u16(sha256), tpm.u32(bits), tpm.sized(policy));
}
