import { CountersignError } from '@countersign/base';
import {
  assembleCertificate,
  buildTbsCertificate,
  type Certificate,
  parseCertificate,
  type SignatureAlgorithm,
} from '@countersign/x509';
import type { Draft, Profile } from './draft.ts';
import { type LintRule, lintRules } from './lint-rules.ts';

const minted = Symbol('linted draft');
const serialOctets = 20;

/**
 * Evidence that the very bytes to be signed were read back and keep every rule. {@link lintDraft} is its one factory.
 * It is spent on use: one draft, one signature.
 */
export class LintedDraft {
  /** What is going to be signed, as our own parser reads it; its serial and signature are placeholders. */
  readonly preview: Certificate;
  readonly algorithm: SignatureAlgorithm;
  #tbs: Uint8Array | undefined;
  readonly #serialAt: number;

  constructor(
    evidence: typeof minted,
    preview: Certificate,
    algorithm: SignatureAlgorithm,
    tbs: Uint8Array,
  ) {
    if (evidence !== minted) throw new TypeError('a LintedDraft is made by lintDraft only');
    this.preview = preview;
    this.algorithm = algorithm;
    this.#tbs = tbs;
    this.#serialAt = preview.serial.byteOffset - preview.tbs.byteOffset;
  }

  /**
   * The TBSCertificate with the serial that the ledger assigned; once.
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
    tbs.set(serial, this.#serialAt);
    return tbs;
  }
}

/**
 * Encodes a draft, reads it back and holds it to every rule of its profile.
 *
 * @throws CountersignError ERR_LINT: what reaches this point passed the policy, so a finding is a defect of ours
 */
export function lintDraft(draft: Draft, algorithm: SignatureAlgorithm): LintedDraft {
  const tbs = buildTbsCertificate(draft, algorithm);
  const preview = parseCertificate(assembleCertificate(tbs, algorithm, placeholderSignature));
  for (const rule of rulesOf[draft.profile]) {
    const wrong = rule.check(preview, draft);
    if (wrong === undefined) continue;
    throw new CountersignError('ERR_LINT', `lint ${draft.profile} certificate: ${wrong}`, {
      fields: { rule: rule.name, clause: rule.clause, profile: draft.profile },
    });
  }
  return new LintedDraft(minted, preview, algorithm, tbs);
}

const rulesFor = (profile: Profile) => lintRules.filter((rule) => rule.profiles.includes(profile));
const rulesOf: Readonly<Record<Profile, readonly LintRule[]>> = {
  root: rulesFor('root'),
  intermediate: rulesFor('intermediate'),
  service: rulesFor('service'),
};

const placeholderSignature = new Uint8Array(64);
