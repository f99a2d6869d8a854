import { concatBytes } from '@countersign/base';

/** What a TPM unmarshals: big-endian integers, and buffers behind their size in two octets. */
export const tpm = {
  u8: (value: number): Uint8Array => Uint8Array.of(value),
  u16: (value: number): Uint8Array => Uint8Array.of(value >>> 8, value & 0xff),
  u32: (value: number): Uint8Array =>
    Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff),
  /** TPM2B */
  sized: (...parts: readonly Uint8Array[]): Uint8Array => {
    const content = concatBytes(...parts);
    return concatBytes(tpm.u16(content.byteLength), content);
  },
} as const;
