import { equalBytes } from '@countersign/base';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { oids } from './oids.ts';
import { contextConstructed, tags } from './tags.ts';

export type HashName = 'sha256' | 'sha384' | 'sha512';

/** RFC 4055 §3.1; `undefined` fields of the structure stand for SHA-1 and 20 and are filled in. */
export interface RsaPssParameters {
  /** Dotted OID. */
  readonly hash: string;
  readonly maskHash: string;
  /** Octets. */
  readonly saltLength: number;
}

/**
 * @param parameters DER of RSASSA-PSS-params
 * @throws DerError for anything but the structure with trailer field 1 and MGF1
 */
export function parseRsaPssParameters(parameters: Uint8Array): RsaPssParameters {
  const what = 'RSASSA-PSS parameters';
  const reader = DerReader.over(parameters, what);
  const inner = reader.sequence(what);
  reader.end(what);
  const hash = optional<string>(inner, 0, oids.sha1, (field) => readHash(field, what));
  const maskHash = optional<string>(inner, 1, oids.sha1, (field) => {
    const start = field.offset;
    const mask = readAlgorithmIdentifier(field, what);
    const { parameters: inside } = mask;
    if (mask.oid !== oids.mgf1 || inside === undefined) {
      return field.fail(
        'ERR_DER_VALUE',
        what,
        `mask ${mask.oid} at ${start} is not MGF1 with a hash`,
      );
    }
    return readHash(field.within(inside), what);
  });
  const saltLength = optional<number>(inner, 2, 20, (field) => field.smallInteger(what, 1024));
  // RFC 4055 §3.1: trailerField MUST be 1, which is the default and so never encoded
  if (inner.nextTag === contextConstructed(3)) {
    inner.fail('ERR_DER_DEFAULT', what, 'trailer field is encoded, only its default is allowed');
  }
  inner.end(what);
  return { hash, maskHash, saltLength };
}

/** Parameters with MGF1 over the same hash. */
export function encodeRsaPssParameters(hash: HashName, saltLength: number): Uint8Array {
  const hashIdentifier = der.sequence(der.oid(oids[hash]), der.null());
  return der.sequence(
    der.explicit(0, hashIdentifier),
    der.explicit(1, der.sequence(der.oid(oids.mgf1), hashIdentifier)),
    der.explicit(2, der.integer(saltLength)),
  );
}

function optional<T>(
  reader: DerReader,
  number: number,
  absent: T,
  read: (field: DerReader) => T,
): T {
  if (reader.nextTag !== contextConstructed(number)) return absent;
  const field = reader.constructed('RSASSA-PSS parameters', contextConstructed(number));
  const value = read(field);
  field.end('RSASSA-PSS parameters');
  if (value === absent) {
    reader.fail('ERR_DER_DEFAULT', 'RSASSA-PSS parameters', `[${number}] has its default value`);
  }
  return value;
}

const nullValue: Uint8Array = Uint8Array.of(tags.null, 0);

// RFC 4055 §2.1: parameters of a hash are NULL or absent
function readHash(reader: DerReader, what: string): string {
  const hash = readAlgorithmIdentifier(reader, what);
  if (hash.parameters !== undefined && !equalBytes(hash.parameters, nullValue)) {
    reader.fail('ERR_DER_VALUE', what, `parameters of hash ${hash.oid} are not NULL`);
  }
  return hash.oid;
}
