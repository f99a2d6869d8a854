import { counted, toHex } from '@countersign/base';
import {
  type Certificate,
  type DistributionPoint,
  type Extension,
  formatGeneralName,
  type GeneralSubtree,
  oidName,
} from '@countersign/x509';

/** One extension as people and programs read it. */
export interface ExtensionFacts {
  readonly oid: string;
  readonly name: string;
  readonly critical: boolean;
  readonly value: string;
}

/** What each extension of a certificate says, in a line. What is not decoded stands as the hexadecimal of its value. */
export function certificateExtensions(certificate: Certificate): ExtensionFacts[] {
  return certificate.extensions.map((extension) => {
    const name = oidName(extension.oid);
    const say = sayings[name];
    const value = say === undefined ? undefined : say(certificate);
    return factsOf(extension, value);
  });
}

export function factsOf(extension: Extension, value: string | undefined): ExtensionFacts {
  const name = oidName(extension.oid);
  return {
    oid: extension.oid,
    name,
    critical: extension.critical,
    value: value ?? `${shortHex(extension.value)} (not decoded)`,
  };
}

export function extensionLine({ name, critical, value }: ExtensionFacts): string {
  return `${name}${critical ? ' (critical)' : ''}: ${value}`;
}

const sayings: Readonly<Record<string, (certificate: Certificate) => string | undefined>> = {
  basicConstraints: ({ basicConstraints: found }) => {
    if (found === undefined) return undefined;
    if (!found.ca) return 'no CA';
    return found.pathLen === undefined
      ? 'CA, any number of intermediates below'
      : `CA, at most ${found.pathLen} intermediates below`;
  },
  keyUsage: ({ keyUsage }) => keyUsage && [...keyUsage].join(', '),
  extKeyUsage: ({ extKeyUsage }) => extKeyUsage?.join(', '),
  subjectAltName: ({ subjectAltNames }) => subjectAltNames.map(formatGeneralName).join(', '),
  issuerAltName: ({ issuerAltNames }) => issuerAltNames.map(formatGeneralName).join(', '),
  nameConstraints: ({ nameConstraints: found }) =>
    found &&
    [subtrees('permitted', found.permitted), subtrees('excluded', found.excluded)]
      .filter((part) => part !== '')
      .join('; '),
  subjectKeyIdentifier: ({ subjectKeyId }) => subjectKeyId && toHex(subjectKeyId),
  authorityKeyIdentifier: ({ authorityKeyId: found }) =>
    found &&
    [
      found.keyId && toHex(found.keyId),
      found.issuer && `issuer ${found.issuer.map(formatGeneralName).join(', ')}`,
      found.serial && `serial ${toHex(found.serial)}`,
    ]
      .filter((part) => part !== undefined)
      .join(', '),
  crlDistributionPoints: ({ crlDistributionPoints }) =>
    crlDistributionPoints?.map(distributionPoint).join('; '),
  authorityInfoAccess: ({ authorityInfoAccess }) =>
    authorityInfoAccess
      ?.map(({ method, location }) => `${method} ${formatGeneralName(location)}`)
      .join(', '),
  certificatePolicies: ({ certificatePolicies }) =>
    certificatePolicies?.map(({ oid }) => oidName(oid)).join(', '),
  policyMappings: ({ policyMappings }) =>
    policyMappings
      ?.map((row) => `${oidName(row.issuerDomainPolicy)} = ${oidName(row.subjectDomainPolicy)}`)
      .join(', '),
  policyConstraints: ({ policyConstraints: found }) =>
    found &&
    [
      found.requireExplicitPolicy !== undefined &&
        `an explicit policy required after ${found.requireExplicitPolicy}`,
      found.inhibitPolicyMapping !== undefined && `no mapping after ${found.inhibitPolicyMapping}`,
    ]
      .filter((part) => part !== false)
      .join(', '),
  inhibitAnyPolicy: ({ inhibitAnyPolicy: found }) =>
    found === undefined
      ? undefined
      : `anyPolicy means nothing after ${counted(found, 'certificate')}`,
};

function subtrees(word: string, list: readonly GeneralSubtree[]): string {
  if (list.length === 0) return '';
  return `${word} ${list.map(({ base }) => formatGeneralName(base)).join(', ')}`;
}

function distributionPoint(point: DistributionPoint): string {
  const names = [...point.fullName, ...point.crlIssuer].map(formatGeneralName).join(', ');
  const reasons = point.reasons === undefined ? '' : ` (${[...point.reasons].join(', ')})`;
  return `${names === '' ? 'a name relative to the issuer' : names}${reasons}`;
}

function shortHex(bytes: Uint8Array): string {
  const hex = toHex(bytes.subarray(0, 32));
  return bytes.length > 32 ? `${hex}… ${bytes.length} bytes` : hex;
}
