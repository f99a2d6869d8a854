import { CountersignError } from '@countersign/base';
import {
  assembleCertificate,
  buildTbsCertificate,
  parseCertificate,
  type SignatureAlgorithm,
} from '@countersign/x509';
import { type Draft, type Profile, type ServiceTemplate, templateOf } from './draft.ts';
import type { LintRule } from './lint/lint-rule.ts';
import { lintRules } from './lint/lint-rules.ts';
import { type ShardPlaces, writeShard } from './publish/certificate-publication.ts';

const minted = Symbol('linted draft');
const serialOctets = 20;

/**
 * Evidence that a draft keeps every rule of its profile. {@link lintDraft} is its one factory. It is spent on use: one
 * draft, one signature.
 */
export class LintedDraft {
  readonly algorithm: SignatureAlgorithm;
  #tbs: Uint8Array | undefined;
  readonly #shard: ShardPlaces | undefined;

  constructor(
    evidence: typeof minted,
    algorithm: SignatureAlgorithm,
    { tbs, shard }: { readonly tbs: Uint8Array; readonly shard: ShardPlaces | undefined },
  ) {
    if (evidence !== minted) throw new TypeError('a LintedDraft is made by lintDraft only');
    this.algorithm = algorithm;
    this.#tbs = tbs;
    this.#shard = shard;
  }

  /**
   * The TBSCertificate with the serial that the ledger assigned, and the number of the list that follows from it; once.
   *
   * @throws CountersignError ERR_LINT where the serial is not of our form, or the draft was spent before
   */
  spend(serial: Uint8Array): Uint8Array {
    const tbs = this.#tbs;
    if (tbs === undefined) throw new CountersignError('ERR_LINT', 'a draft was to be signed twice');
    // RFC 5280 §4.1.2.2: positive, at most 20 octets. Ours all have 20 and begin with 01, so the place fits.
    if (serial.byteLength !== serialOctets || serial[0] !== 0x01) {
      const sides = `${serial.byteLength} octets that begin with ${serial[0]}, 20 that begin with 1 are needed`;
      throw new CountersignError('ERR_LINT', `serial number of ${sides}`);
    }
    this.#tbs = undefined;
    tbs.set(serial, serialPlace(tbs));
    if (this.#shard !== undefined) writeShard(tbs, this.#shard, serial);
    return tbs;
  }
}

/**
 * Encodes a draft and holds it to the rules of its profile. The whole certificate is read back from its bytes; where an
 * earlier one of the same template and form was read back whole, the rules about what a template fixes are kept
 * already, and the certificate's own part is checked alone.
 *
 * @throws CountersignError ERR_LINT: what reaches this point passed the policy, so a finding is a defect of ours
 */
export function lintDraft(draft: Draft, algorithm: SignatureAlgorithm): LintedDraft {
  const tbs = buildTbsCertificate(draft, algorithm);
  const { shard } = draft;
  const template = templateOf(draft);
  const proved = template === undefined ? undefined : provedForms(template);
  const form = formOf(draft);
  if (proved?.has(form) === true) {
    const { subject, notBefore, notAfter, names, keyId, spki } = draft;
    const own = { subject, notBefore, notAfter, subjectAltNames: names, subjectKeyId: keyId, spki };
    for (const rule of ownRules) throwFinding(rule.check(own, draft), rule, draft);
    return new LintedDraft(minted, algorithm, { tbs, shard });
  }
  const readBack = parseCertificate(assembleCertificate(tbs, algorithm, placeholderSignature));
  for (const rule of rulesOf[draft.profile]) {
    throwFinding(rule.check(readBack, draft), rule, draft);
  }
  proved?.add(form);
  return new LintedDraft(minted, algorithm, { tbs, shard });
}

function throwFinding(wrong: string | undefined, rule: LintRule, { profile }: Draft): void {
  if (wrong === undefined) return;
  const { name, clause } = rule;
  throw new CountersignError('ERR_LINT', `lint ${profile} certificate: ${wrong}`, {
    fields: { rule: name, clause, profile },
  });
}

/** What decides the extensions beside the template: the kind of key, and whether there is a subject. */
function formOf({ kind, subject }: Draft): string {
  return subject.rdns.length === 0 ? kind.type : `${kind.type} with a subject`;
}

/** Forms of which a certificate of the template was read back whole. One signer a template, so one algorithm. */
function provedForms(template: ServiceTemplate): Set<string> {
  const known = formsByTemplate.get(template) ?? new Set();
  formsByTemplate.set(template, known);
  return known;
}

const formsByTemplate = new WeakMap<ServiceTemplate, Set<string>>();

const rulesFor = (profile: Profile) => lintRules.filter((rule) => rule.profiles.includes(profile));
const rulesOf: Readonly<Record<Profile, readonly LintRule[]>> = {
  root: rulesFor('root'),
  intermediate: rulesFor('intermediate'),
  service: rulesFor('service'),
  responder: rulesFor('responder'),
};
const ownRules = rulesOf.service.filter((rule) => rule.about === 'own');

const placeholderSignature = new Uint8Array(64);

/** Where the serial stands: behind the SEQUENCE's header, the version and the INTEGER's header. */
function serialPlace(tbs: Uint8Array): number {
  const lengthOctets = (tbs[1] ?? 0) < 0x80 ? 0 : (tbs[1] ?? 0) & 0x7f;
  const at = 2 + lengthOctets + versionOctets;
  if (tbs[at] === 0x02 && tbs[at + 1] === serialOctets) return at + 2;
  throw new CountersignError('ERR_LINT', 'the place of the serial is not where it belongs');
}

/** `[0] { INTEGER 2 }`. */
const versionOctets = 5;
