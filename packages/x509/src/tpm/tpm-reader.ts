import { CountersignError } from '@countersign/base';
import { type TpmHash, tpmHashes } from './tpm-algorithms.ts';

/**
 * A strict cursor over what a TPM marshals: big-endian integers, and buffers behind their size in two octets. Every
 * method throws ERR_TPM_FORM where the bytes end too early. Bytes that it returns are views.
 */
export class TpmReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** @param what names the structure in errors */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get offset(): number {
    return this.#at;
  }

  since(offset: number): Uint8Array {
    return this.#bytes.subarray(offset, this.#at);
  }

  u8(field: string): number {
    return this.take(1, field)[0] ?? 0;
  }

  u16(field: string): number {
    const [high = 0, low = 0] = this.take(2, field);
    return high * 0x100 + low;
  }

  u32(field: string): number {
    return this.u16(field) * 0x1_0000 + this.u16(field);
  }

  take(octets: number, field: string): Uint8Array {
    const left = this.#bytes.byteLength - this.#at;
    if (octets > left) this.fail(`${field} has ${octets} octets, ${left} are left`);
    this.#at += octets;
    return this.#bytes.subarray(this.#at - octets, this.#at);
  }

  /** TPM2B: of at most `max` octets. */
  sized(field: string, max: number): Uint8Array {
    const octets = this.u16(field);
    if (octets > max) this.fail(`${field} has ${octets} octets, at most ${max} are read`);
    return this.take(octets, field);
  }

  hash(field: string): TpmHash {
    const id = this.u16(field);
    return tpmHashes.find((each) => each.id === id) ?? this.unsupported(`${field} ${hex(id)}`);
  }

  /** Nothing may follow. */
  end(): void {
    const left = this.#bytes.byteLength - this.#at;
    if (left > 0) this.fail(`${left} octets after the last field`);
  }

  fail(detail: string): never {
    throw new CountersignError('ERR_TPM_FORM', `${this.#what}: ${detail}`);
  }

  unsupported(detail: string): never {
    throw new CountersignError('ERR_TPM_UNSUPPORTED', `${this.#what}: ${detail}`);
  }
}

export function hex(id: number): string {
  return `0x${id.toString(16).padStart(4, '0')}`;
}
