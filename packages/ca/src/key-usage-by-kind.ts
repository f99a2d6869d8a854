import type { KeyKind, KeyUsage } from '@countersign/x509';

type ServiceKeyType = Exclude<KeyKind['type'], 'RSA-PSS'>;

/**
 * What a key of each kind can do at all. RFC 3279 §2.3.1 for RSA; RFC 8813 §3: an EC key enciphers nothing; RFC 8410 §5:
 * an Ed25519 key signs and no more; RFC 9881 §5: an ML-DSA key likewise.
 */
const usagesByType: Readonly<Record<ServiceKeyType, readonly KeyUsage[]>> = {
  RSA: ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment'],
  EC: ['digitalSignature', 'nonRepudiation', 'keyAgreement'],
  Ed25519: ['digitalSignature', 'nonRepudiation'],
  'ML-DSA': ['digitalSignature', 'nonRepudiation'],
};

export const serviceKeyTypes = Object.keys(usagesByType) as readonly ServiceKeyType[];

export function isServiceKeyType(type: KeyKind['type']): type is ServiceKeyType {
  return Object.hasOwn(usagesByType, type);
}

/** The usages that remain for a key of that kind. */
export function usagesFor(type: ServiceKeyType, usages: readonly KeyUsage[]): KeyUsage[] {
  return usages.filter((usage) => isUsageOf(type, usage));
}

export function isUsageOf(type: ServiceKeyType, usage: KeyUsage): boolean {
  return usagesByType[type].includes(usage);
}
