import { der } from './der-writer.ts';
import type { DistributionPoint, IssuingDistributionPoint, ReasonFlag } from './extension.ts';
import { reasonFlags } from './extension-readers.ts';
import { encodeGeneralName } from './general-name.ts';
import { contextConstructed, contextTag } from './tags.ts';

/** As it is read, what is left out empty; a list of URIs stands for a full name of them. */
export type DistributionPointTemplate = readonly string[] | Partial<DistributionPoint>;

/** `uris` stand for a `fullName` of them. */
export interface IssuingDistributionPointTemplate extends Partial<IssuingDistributionPoint> {
  readonly uris?: readonly string[];
}

/** DER of a DistributionPoint (RFC 5280 §4.2.1.13). @throws RangeError where it names neither a point nor an issuer */
export function encodeDistributionPoint(template: DistributionPointTemplate): Uint8Array {
  const point = isUris(template) ? { fullName: fullNameOf(template) } : template;
  const { reasons, crlIssuer = [] } = point;
  const name = encodePointName(point);
  if (name.length === 0 && crlIssuer.length === 0) {
    throw new RangeError('distribution point names neither a point nor an issuer');
  }
  const issuer =
    crlIssuer.length === 0
      ? []
      : [der.element(contextConstructed(2), crlIssuer.map(encodeGeneralName))];
  return der.sequence(...name, ...encodeReasons(1, reasons), ...issuer);
}

/** DER of an IssuingDistributionPoint (RFC 5280 §5.2.5). @throws RangeError where it is empty or contradicts itself */
export function encodeIssuingDistributionPoint(
  template: IssuingDistributionPointTemplate,
): Uint8Array {
  const { uris, onlySomeReasons } = template;
  const point = uris === undefined ? template : { ...template, fullName: fullNameOf(uris) };
  const scopes = [
    template.onlyContainsUserCerts,
    template.onlyContainsCaCerts,
    template.onlyContainsAttributeCerts,
  ];
  // RFC 5280 §5.2.5: at most one of them
  if (scopes.filter((scope) => scope === true).length > 1) {
    throw new RangeError('a revocation list is limited to one kind of certificates at most');
  }
  const parts = [
    ...encodePointName(point),
    ...flag(1, template.onlyContainsUserCerts),
    ...flag(2, template.onlyContainsCaCerts),
    ...encodeReasons(3, onlySomeReasons),
    ...flag(4, template.indirectCrl),
    ...flag(5, template.onlyContainsAttributeCerts),
  ];
  if (parts.length === 0) throw new RangeError('issuing distribution point says nothing');
  return der.sequence(...parts);
}

function isUris(template: DistributionPointTemplate): template is readonly string[] {
  return Array.isArray(template);
}

function fullNameOf(uris: readonly string[]): DistributionPoint['fullName'] {
  return uris.map((value) => ({ kind: 'uri', value }));
}

function encodePointName(point: Partial<DistributionPoint>): Uint8Array[] {
  const { fullName = [], relativeName } = point;
  if (fullName.length > 0 && relativeName !== undefined) {
    throw new RangeError('distribution point has a full and a relative name, one is allowed');
  }
  if (fullName.length > 0) {
    return [der.explicit(0, der.element(contextConstructed(0), fullName.map(encodeGeneralName)))];
  }
  if (relativeName === undefined) return [];
  const attributes = relativeName.map(({ oid, raw }) => der.sequence(der.oid(oid), raw));
  return [der.explicit(0, der.contextSetOf(1, ...attributes))];
}

function encodeReasons(number: number, reasons: ReadonlySet<ReasonFlag> | undefined): Uint8Array[] {
  if (reasons === undefined) return [];
  const bits = [...reasons].map((reason) => reasonFlags.indexOf(reason));
  return [der.element(contextTag(number), [der.namedBitsContent(bits)])];
}

function flag(number: number, value: boolean | undefined): Uint8Array[] {
  return value === true ? [der.context(number, Uint8Array.of(0xff))] : [];
}
