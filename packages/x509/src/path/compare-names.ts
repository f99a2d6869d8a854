import { toHex } from '@countersign/base';
import type { AttributeValue, Name } from '../name.ts';

interface NormalizedName {
  readonly rdns: readonly string[];
  readonly whole: string;
}

const normalized = new WeakMap<Name, NormalizedName>();

/**
 * Equal texts mean equal names (RFC 5280 §7.1): case, spacing and the kind of string do not count.
 */
export function nameKey(name: Name): string {
  return normalize(name).whole;
}

export function sameName(a: Name, b: Name): boolean {
  return nameKey(a) === nameKey(b);
}

export function isEmptyName(name: Name): boolean {
  return name.rdns.length === 0;
}

/**
 * RFC 5280 §4.2.1.10: whether `name` is `base` or lies below it: the base's RDNs are the first of
 * the name's.
 */
export function isNameWithin(name: Name, base: Name): boolean {
  const inner = normalize(name).rdns;
  return normalize(base).rdns.every((rdn, i) => inner[i] === rdn);
}

function normalize(name: Name): NormalizedName {
  const known = normalized.get(name);
  if (known !== undefined) return known;
  const rdns = name.rdns.map((rdn) => rdn.map(attributeKey).sort().join('\u0001'));
  const result = { rdns, whole: rdns.join('\u0002') };
  normalized.set(name, result);
  return result;
}

/**
 * Texts hold no control characters after preparation, so the separators above and here are
 * unambiguous.
 */
function attributeKey(attribute: AttributeValue): string {
  const value =
    attribute.value === undefined ? `#${toHex(attribute.raw)}` : `=${prepareText(attribute.value)}`;
  return `${attribute.oid}${value}`;
}

const plainText = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;

// RFC 4518 §2: map, normalise, fold case, and treat runs of spaces as one.
function prepareText(text: string): string {
  if (plainText.test(text)) return text.toLowerCase();
  return text
    .replace(/[\t\n\v\f\r\u0085\p{Z}]+/gu, ' ')
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\ufffc]/gu, '')
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFKC')
    .replace(/ +/g, ' ')
    .trim();
}
