import { CountersignError } from '@countersign/base';
import { type CborValue, readCbor } from './read-cbor.ts';

/** WebAuthn §6.5.4, as draft-ietf-acme-device-attest §5 has it: without `authData`. */
export interface AttestationObject {
  /** Name of the format of `statement`, such as `tpm`. */
  readonly format: string;
  readonly statement: Members;
}

/** A map of CBOR with what an attestation needs of it, each of its kind. */
export class Members {
  readonly #what: string;
  readonly #map: ReadonlyMap<string, CborValue>;

  constructor(what: string, map: ReadonlyMap<string, CborValue>) {
    this.#what = what;
    this.#map = map;
  }

  text(name: string): string {
    const value = this.#map.get(name);
    return typeof value === 'string' ? value : this.#lacks(name, 'a text');
  }

  integer(name: string): number {
    const value = this.#map.get(name);
    return typeof value === 'number' ? value : this.#lacks(name, 'an integer');
  }

  bytes(name: string): Uint8Array {
    const value = this.#map.get(name);
    return value instanceof Uint8Array ? value : this.#lacks(name, 'bytes');
  }

  /** One at least, `max` at most. */
  listOfBytes(name: string, max: number): readonly Uint8Array[] {
    const value = this.#map.get(name);
    const isOne =
      Array.isArray(value) &&
      value.length > 0 &&
      value.length <= max &&
      value.every((each) => each instanceof Uint8Array);
    return isOne ? value : this.#lacks(name, `1 to ${max} times bytes`);
  }

  #lacks(name: string, form: string): never {
    const state = this.#map.has(name) ? 'is something else' : 'is missing';
    const message = `${this.#what}: "${name}" is to be ${form}, it ${state}`;
    throw new CountersignError('ERR_ATTEST_FORM', message);
  }
}

/** @throws CountersignError ERR_ATTEST_FORM */
export function parseAttestationObject(bytes: Uint8Array): AttestationObject {
  const whole = mapOf('attestation object', readCbor(bytes));
  const format = new Members('attestation object', whole).text('fmt');
  const statement = mapOf('attestation statement', whole.get('attStmt'));
  return { format, statement: new Members('attestation statement', statement) };
}

function mapOf(what: string, value: CborValue | undefined): ReadonlyMap<string, CborValue> {
  if (value instanceof Map) return value;
  throw new CountersignError('ERR_ATTEST_FORM', `${what} is no map`);
}
