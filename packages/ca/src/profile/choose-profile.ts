import { type Denial, denial, nearestWord } from '@countersign/base';
import type { CaConfig } from '../ca-config.ts';
import type { CertificateNames } from '../certificate-names.ts';
import { quotedList } from '../dns-name.ts';
import { givenNames } from '../policy/name-pattern.ts';
import { type ClauseAnswer, explainWho, isAbout, type Requester } from '../policy/who.ts';
import {
  type CertificateProfile,
  defaultProfileName,
  type ProfileUse,
} from './certificate-profile.ts';

export interface ProfileQuestion {
  /** Asked for by name. */
  readonly asked: string | undefined;
  /** That of the certificate which is renewed, where it was asked for by name. */
  readonly kept?: string | undefined;
  readonly requester: Requester;
  readonly names: CertificateNames;
  /** The default of the intermediate that signs. */
  readonly issuerDefault: string | undefined;
}

type Profiles = Pick<CaConfig, 'profiles' | 'defaultProfile'>;

/**
 * The profile of a certificate: the one that is asked for, where it is for the requester; else, of a renewal, the one
 * that was asked for its certificate; else the first in file order that is for such a request; else the default of the
 * intermediate that signs; else `service_certificates`. Whoever holds the state may name any.
 *
 * Denials: ERR_POLICY_PROFILE.
 */
export function chooseProfile(
  question: ProfileQuestion,
  config: Profiles,
): { readonly ok: true; readonly profile: CertificateProfile } | Denial {
  const { asked, kept, requester } = question;
  const unasked = profileFor(question, config);
  const wanted = asked ?? kept;
  if (wanted === undefined || wanted === unasked.name) return { ok: true, profile: unasked };
  const found = profileOf(wanted, config);
  if (found === undefined) return unknownProfile(wanted, asked === undefined, config);
  const mayName = wanted === kept || requester.caller === 'operator' || isFor(found, question);
  return mayName ? { ok: true, profile: found } : notFor(found, question);
}

/** The one of that name; of an unknown name, `service_certificates`. */
export function profileMeant(asked: string | undefined, config: Profiles): CertificateProfile {
  const named = asked === undefined ? undefined : profileOf(asked, config);
  return named ?? config.defaultProfile;
}

function profileFor(question: ProfileQuestion, config: Profiles): CertificateProfile {
  const { profiles, defaultProfile } = config;
  if (profiles.length === 0) return defaultProfile;
  const { issuerDefault } = question;
  const ofIssuer = issuerDefault === undefined ? undefined : profileOf(issuerDefault, config);
  return profiles.find((each) => isFor(each, question)) ?? ofIssuer ?? defaultProfile;
}

function profileOf(name: string, config: Profiles): CertificateProfile | undefined {
  if (name === defaultProfileName) return config.defaultProfile;
  return config.profiles.find((each) => each.name === name);
}

function isFor({ uses }: CertificateProfile, { requester, names }: ProfileQuestion): boolean {
  return uses?.some((use) => isAbout(use, requester) && hasAll(use, names)) === true;
}

function hasAll({ names: patterns }: ProfileUse, names: CertificateNames): boolean {
  if (patterns === undefined) return true;
  return givenNames(names).every((name) => patterns.some((pattern) => pattern.matches(name)));
}

function unknownProfile(asked: string, isKept: boolean, { profiles }: Profiles): Denial {
  const known = [...profiles.map(({ name }) => name), defaultProfileName];
  const nearest = nearestWord(asked, known);
  const then =
    nearest === undefined ? `there is ${quotedList(known)}` : `the nearest is "${nearest}"`;
  const why = isKept ? 'is that of the certificate to renew' : 'is asked for';
  return denial('ERR_POLICY_PROFILE', `profile "${asked}" ${why}, ${then}`, {
    profile: asked,
    known,
  });
}

function notFor({ name, uses }: CertificateProfile, question: ProfileQuestion): Denial {
  const { requester } = question;
  const closest = (uses ?? [])
    .map((use) => explainUse(use, question))
    .toSorted((a, b) => inTheWay(a).length - inTheWay(b).length)[0];
  const why =
    closest === undefined
      ? `only operators name it, the caller is "${requester.caller}"`
      : inTheWay(closest)
          .map(({ detail }) => detail)
          .join(', and ');
  return denial('ERR_POLICY_PROFILE', `profile "${name}" is not for this request: ${why}`, {
    profile: name,
    clauses: closest,
  });
}

function explainUse(use: ProfileUse, { requester, names }: ProfileQuestion): ClauseAnswer[] {
  const clauses = explainWho(use, requester);
  const { names: patterns } = use;
  if (patterns === undefined) return clauses;
  const other = givenNames(names).find((name) => !patterns.some((each) => each.matches(name)));
  const written = quotedList(patterns.map((each) => each.written));
  const asked = other === undefined ? 'every name fits' : `"${other.text}" is asked for`;
  clauses.push({
    clause: 'names',
    ok: other === undefined,
    detail: `${asked}, it is for ${written}`,
  });
  return clauses;
}

function inTheWay(clauses: readonly ClauseAnswer[]): readonly ClauseAnswer[] {
  return clauses.filter(({ ok }) => !ok);
}
