/** TPM_ALG_ID, TPM_ST and TPM_ECC_CURVE of the TPM 2.0 Library, part 2, as far as this room knows them. */
export const tpmAlg = {
  rsa: 0x0001,
  aes: 0x0006,
  null: 0x0010,
  rsassa: 0x0014,
  rsaes: 0x0015,
  rsapss: 0x0016,
  oaep: 0x0017,
  ecdsa: 0x0018,
  ecdh: 0x0019,
  ecc: 0x0023,
  cfb: 0x0043,
} as const;

export type TpmHashName = 'sha256' | 'sha384' | 'sha512';

export interface TpmHash {
  readonly id: number;
  readonly name: TpmHashName;
  readonly octets: number;
}

/** SHA-1 is none of them: nothing that a TPM says by it is believed. */
export const tpmHashes: readonly TpmHash[] = [
  { id: 0x000b, name: 'sha256', octets: 32 },
  { id: 0x000c, name: 'sha384', octets: 48 },
  { id: 0x000d, name: 'sha512', octets: 64 },
];

export const tpmCurves = [
  { id: 0x0003, name: 'P-256', octets: 32 },
  { id: 0x0004, name: 'P-384', octets: 48 },
  { id: 0x0005, name: 'P-521', octets: 66 },
] as const;

/** TPMA_OBJECT, part 2 §8.3. */
export const tpmAttributes = {
  fixedTpm: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDictionaryAttack: 1 << 10,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const;

export type TpmAttribute = keyof typeof tpmAttributes;
