import { hash } from 'node:crypto';
import { der } from './der-writer.ts';
import {
  type DistributionPointTemplate,
  encodeDistributionPoint,
  encodeIssuingDistributionPoint,
  type IssuingDistributionPointTemplate,
} from './distribution-point.ts';
import type { Extension, PolicyConstraints, PolicyMapping } from './extension.ts';
import { encodeGeneralName, type GeneralName } from './general-name.ts';
import { extKeyUsageOid, type KeyUsage, keyUsages } from './key-usage.ts';
import { oids } from './oids.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';
import { contextConstructed } from './tags.ts';

/** Builders of the extensions of RFC 5280 §4.2, critical as the profile says unless told otherwise. */
export const extension = {
  /** `pathLen` only for a CA. */
  basicConstraints(
    options: {
      readonly ca?: boolean;
      readonly pathLen?: number | undefined;
      readonly critical?: boolean;
    } = {},
  ): Extension {
    const parts = options.ca === true ? [der.boolean(true)] : [];
    if (options.pathLen !== undefined) parts.push(der.integer(options.pathLen));
    return make(oids.basicConstraints, options.critical ?? true, der.sequence(...parts));
  },

  /** At least one usage. */
  keyUsage(usages: readonly KeyUsage[], critical = true): Extension {
    if (usages.length === 0) throw new RangeError('keyUsage needs at least one usage');
    const bits = usages.map((usage) => keyUsages.indexOf(usage));
    return make(oids.keyUsage, critical, der.namedBits(bits));
  },

  /** Names (`serverAuth`) or dotted OIDs, at least one. */
  extKeyUsage(usages: readonly string[], critical = false): Extension {
    if (usages.length === 0) throw new RangeError('extKeyUsage needs at least one usage');
    const parts = usages.map((usage) => der.oid(extKeyUsageOid(usage)));
    return make(oids.extKeyUsage, critical, der.sequence(...parts));
  },

  /** Critical where the subject is empty (RFC 5280 §4.2.1.6). */
  subjectAltName(names: readonly GeneralName[], critical = false): Extension {
    return make(oids.subjectAltName, critical, generalNames(names));
  },

  issuerAltName(names: readonly GeneralName[], critical = false): Extension {
    return make(oids.issuerAltName, critical, generalNames(names));
  },

  /** At least one name in one of them. */
  nameConstraints(
    constraints: {
      readonly permitted?: readonly GeneralName[];
      readonly excluded?: readonly GeneralName[];
    },
    critical = true,
  ): Extension {
    const { permitted = [], excluded = [] } = constraints;
    if (permitted.length + excluded.length === 0) {
      throw new RangeError('nameConstraints needs at least one name');
    }
    const parts = [...subtrees(0, permitted), ...subtrees(1, excluded)];
    return make(oids.nameConstraints, critical, der.sequence(...parts));
  },

  subjectKeyId(keyId: Uint8Array): Extension {
    return make(oids.subjectKeyIdentifier, false, der.octetString(keyId));
  },

  authorityKeyId(keyId: Uint8Array): Extension {
    return make(oids.authorityKeyIdentifier, false, der.sequence(der.context(0, keyId)));
  },

  /** One point for each list of URIs, all of which lead to the same list; or with reasons and another issuer. */
  crlDistributionPoints(points: readonly DistributionPointTemplate[]): Extension {
    const parts = points.map(encodeDistributionPoint);
    return make(oids.crlDistributionPoints, false, der.sequence(...some(parts)));
  },

  /** Where the delta lists are, in a certificate or in a complete list (RFC 5280 §4.2.1.15, §5.2.6). */
  freshestCrl(points: readonly DistributionPointTemplate[]): Extension {
    const parts = points.map(encodeDistributionPoint);
    return make(oids.freshestCrl, false, der.sequence(...some(parts)));
  },

  authorityInfoAccess(access: {
    readonly ocsp?: readonly string[];
    readonly caIssuers?: readonly string[];
  }): Extension {
    const describe = (method: string, uris: readonly string[] = []): Uint8Array[] =>
      uris.map((value) => der.sequence(der.oid(method), encodeGeneralName({ kind: 'uri', value })));
    const parts = [
      ...describe(oids.ocsp, access.ocsp),
      ...describe(oids.caIssuers, access.caIssuers),
    ];
    return make(oids.authorityInfoAccess, false, der.sequence(...some(parts)));
  },

  certificatePolicies(policies: readonly string[], critical = false): Extension {
    const parts = policies.map((policy) => der.sequence(der.oid(policy)));
    return make(oids.certificatePolicies, critical, der.sequence(...some(parts)));
  },

  policyMappings(mappings: readonly PolicyMapping[], critical = true): Extension {
    const parts = mappings.map((mapping) =>
      der.sequence(der.oid(mapping.issuerDomainPolicy), der.oid(mapping.subjectDomainPolicy)),
    );
    return make(oids.policyMappings, critical, der.sequence(...some(parts)));
  },

  policyConstraints(constraints: Partial<PolicyConstraints>, critical = true): Extension {
    const { requireExplicitPolicy, inhibitPolicyMapping } = constraints;
    const parts: Uint8Array[] = [];
    for (const [number, skip] of [requireExplicitPolicy, inhibitPolicyMapping].entries()) {
      if (skip !== undefined) parts.push(der.context(number, der.integerContent(skip)));
    }
    return make(oids.policyConstraints, critical, der.sequence(...some(parts)));
  },

  inhibitAnyPolicy(skip: number, critical = true): Extension {
    return make(oids.inhibitAnyPolicy, critical, der.integer(skip));
  },

  crlNumber(number: bigint): Extension {
    return make(oids.crlNumber, false, der.integer(number));
  },

  deltaCrlIndicator(base: bigint): Extension {
    return make(oids.deltaCrlIndicator, true, der.integer(base));
  },

  /** What a list covers. At least one field, and at most one of the three `onlyContains…`. */
  issuingDistributionPoint(point: IssuingDistributionPointTemplate): Extension {
    return make(oids.issuingDistributionPoint, true, encodeIssuingDistributionPoint(point));
  },

  /** For a delegated OCSP responder: nobody need ask whether it is revoked (RFC 6960 §4.2.2.2.1). */
  ocspNoCheck(): Extension {
    return make(oids.ocspNoCheck, false, der.null());
  },

  /** Any other. `value` is the DER that goes into the OCTET STRING. */
  other: make,
} as const;

/** RFC 5280 §4.2.1.2 with SHA-256 cut to 160 bits (RFC 7093 §2, method 1). */
export function keyIdOf(spki: SubjectPublicKeyInfo): Uint8Array {
  return new Uint8Array(hash('sha256', spki.bits, 'buffer').subarray(0, 20));
}

/** DER of an Extensions SEQUENCE. */
export function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  return der.sequence(...extensions.map(encodeExtension));
}

/** An extension that many certificates share: its DER is written once, with the first of them. */
export function sharedExtension({ oid, critical, value }: Extension): Extension {
  return new SharedExtension(oid, critical, value);
}

class SharedExtension implements Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
  #der: Uint8Array | undefined;

  constructor(oid: string, critical: boolean, value: Uint8Array) {
    this.oid = oid;
    this.critical = critical;
    this.value = value.slice();
  }

  static derOf(extension: Extension): Uint8Array | undefined {
    if (!(#der in extension)) return undefined;
    extension.#der ??= writeExtension(extension).slice();
    return extension.#der;
  }
}

function encodeExtension(extension: Extension): Uint8Array {
  return SharedExtension.derOf(extension) ?? writeExtension(extension);
}

function writeExtension({ oid, critical, value }: Extension): Uint8Array {
  if (!critical) return der.sequence(der.oid(oid), der.octetString(value));
  return der.sequence(der.oid(oid), der.boolean(true), der.octetString(value));
}

function make(oid: string, critical: boolean, value: Uint8Array): Extension {
  return { oid, critical, value };
}

function generalNames(names: readonly GeneralName[]): Uint8Array {
  return der.sequence(...some(names.map(encodeGeneralName)));
}

function subtrees(number: number, names: readonly GeneralName[]): Uint8Array[] {
  if (names.length === 0) return [];
  const parts = names.map((name) => der.sequence(encodeGeneralName(name)));
  return [der.element(contextConstructed(number), parts)];
}

function some(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  if (parts.length === 0) throw new RangeError('extension needs at least one element');
  return parts;
}
