import { CountersignError, type ErrorCode } from '@countersign/base';
import { DerError } from './der-error.ts';
import type { DerReader } from './der-reader.ts';
import type {
  AccessDescription,
  AuthorityKeyId,
  BasicConstraints,
  DistributionPoint,
  Extension,
  NameConstraints,
  PolicyConstraints,
  PolicyInformation,
  PolicyMapping,
} from './extension.ts';
import { extensionReaders } from './extension-readers.ts';
import type { GeneralName } from './general-name.ts';
import type { KeyUsage } from './key-usage.ts';
import { oidName } from './oids.ts';

/** What the extensions of a certificate or a request say; undefined where absent. */
export interface DecodedExtensions {
  /** OIDs of critical extensions that this room does not decode. */
  readonly unknownCriticalExtensions: readonly string[];
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** Names where known (`serverAuth`), dotted OIDs otherwise. */
  readonly extKeyUsage: readonly string[] | undefined;
  /** Empty where absent; an extension that is there has at least one. */
  readonly subjectAltNames: readonly GeneralName[];
  readonly issuerAltNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: AuthorityKeyId | undefined;
  readonly crlDistributionPoints: readonly DistributionPoint[] | undefined;
  /** Where delta lists are. */
  readonly freshestCrl: readonly DistributionPoint[] | undefined;
  readonly authorityInfoAccess: readonly AccessDescription[] | undefined;
  readonly certificatePolicies: readonly PolicyInformation[] | undefined;
  readonly policyMappings: readonly PolicyMapping[] | undefined;
  readonly policyConstraints: PolicyConstraints | undefined;
  readonly inhibitAnyPolicy: number | undefined;
}

/**
 * Decodes each extension that has a row; others are kept closed.
 *
 * @param reader of the document that the extensions are views of
 * @param code of the error for one that is malformed
 * @param passedOver OIDs of extensions that are kept closed where they are not critical
 * @throws CountersignError `code`, the cause a DerError
 */
export function decodeExtensions(
  reader: DerReader,
  extensions: readonly Extension[],
  code: ErrorCode,
  passedOver?: ReadonlySet<string>,
): DecodedExtensions {
  const unknown: string[] = [];
  const decoded = { ...nothing, unknownCriticalExtensions: unknown };
  for (const extension of extensions) {
    const row = extensionReaders.get(extension.oid);
    if (row === undefined) {
      if (extension.critical) unknown.push(extension.oid);
      continue;
    }
    if (!extension.critical && passedOver?.has(extension.oid) === true) continue;
    Object.assign(decoded, readWhole(reader, extension, row, code));
  }
  return decoded;
}

/** Reads a value that fills its OCTET STRING. @throws CountersignError `code` */
export function readWhole<T>(
  reader: DerReader,
  extension: Extension,
  read: (inner: DerReader, what: string, critical: boolean) => T,
  code: ErrorCode,
): T {
  const what = oidName(extension.oid);
  const inner = reader.within(extension.value);
  try {
    const value = read(inner, what, extension.critical);
    inner.end(what);
    return value;
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    const fields = { oid: extension.oid, offset: thrown.offset, reason: thrown.code };
    const message = `extension ${thrown.message}`;
    throw new CountersignError(code, message, { fields, cause: thrown });
  }
}

const nothing: Omit<DecodedExtensions, 'unknownCriticalExtensions'> = {
  basicConstraints: undefined,
  keyUsage: undefined,
  extKeyUsage: undefined,
  subjectAltNames: [],
  issuerAltNames: [],
  nameConstraints: undefined,
  subjectKeyId: undefined,
  authorityKeyId: undefined,
  crlDistributionPoints: undefined,
  freshestCrl: undefined,
  authorityInfoAccess: undefined,
  certificatePolicies: undefined,
  policyMappings: undefined,
  policyConstraints: undefined,
  inhibitAnyPolicy: undefined,
};
