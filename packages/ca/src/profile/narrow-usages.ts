import { type Denial, denial } from '@countersign/base';
import type { KeyKind, KeyUsage } from '@countersign/x509';
import type { ServiceTemplate } from '../draft.ts';
import { isServiceKeyType, usagesFor } from '../key-usage-by-kind.ts';
import type { CertificateProfile } from './certificate-profile.ts';

/** What a certificate is to be good for at most, beside its profile, and what it has to be good for. */
export interface UsageWish {
  /** Undefined: whatever the profile has. */
  readonly keyUsage: readonly KeyUsage[] | undefined;
  /** Names (`serverAuth`) or dotted OIDs. Undefined: whatever the profile has. */
  readonly extKeyUsage: readonly string[] | undefined;
  /** Of both: a profile without one of them is not what is wished for. */
  readonly required: readonly string[];
}

/**
 * Whether there is a certificate for the wish, whose key is of that kind; undefined where it is not known.
 *
 * Denials: ERR_CSR_USAGE.
 */
export function judgeUsages(
  wish: UsageWish,
  profile: CertificateProfile,
  kind: KeyKind | undefined,
): Denial | undefined {
  const has: readonly string[] = [...profile.keyUsage, ...profile.extKeyUsage];
  const lacking = wish.required.find((usage) => !has.includes(usage));
  if (lacking !== undefined) {
    const sides = `profile "${profile.name}" has ${has.join(', ')}`;
    return denial('ERR_CSR_USAGE', `usage "${lacking}" is asked for, ${sides}`, { usage: lacking });
  }
  const { keyUsage, extKeyUsage } = narrowedProfile(profile, wish);
  const type = kind === undefined || !isServiceKeyType(kind.type) ? undefined : kind.type;
  const able = type === undefined ? keyUsage : usagesFor(type, keyUsage);
  if (able.length > 0 && extKeyUsage.length > 0) return undefined;
  const sides = `profile "${profile.name}" has ${has.join(', ')}`;
  return denial('ERR_CSR_USAGE', `no usage would be left of those asked for, ${sides}`);
}

/** Templates for what profiles and wishes have in common, each built once. */
export class NarrowedTemplates {
  readonly #build: (profile: CertificateProfile) => ServiceTemplate;
  readonly #built = new WeakMap<CertificateProfile, Map<string, ServiceTemplate>>();

  constructor(build: (profile: CertificateProfile) => ServiceTemplate) {
    this.#build = build;
  }

  of(profile: CertificateProfile, wish: UsageWish): ServiceTemplate {
    const narrowed = narrowedProfile(profile, wish);
    const id = JSON.stringify([narrowed.keyUsage, narrowed.extKeyUsage]);
    const known = this.#built.get(profile) ?? new Map<string, ServiceTemplate>();
    this.#built.set(profile, known);
    const template = known.get(id) ?? this.#build(narrowed);
    known.set(id, template);
    return template;
  }
}

function narrowedProfile(profile: CertificateProfile, wish: UsageWish): CertificateProfile {
  const { keyUsage = profile.keyUsage, extKeyUsage = profile.extKeyUsage } = wish;
  return {
    ...profile,
    keyUsage: profile.keyUsage.filter((each) => keyUsage.includes(each)),
    extKeyUsage: profile.extKeyUsage.filter((each) => extKeyUsage.includes(each)),
  };
}
