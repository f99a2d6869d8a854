import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { Crl, CrlEntry } from '../crl.ts';
import { findExtension, type ReasonFlag } from '../extension.ts';
import { oids } from '../oids.ts';
import type { SubjectPublicKeyInfo } from '../spki.ts';
import { certificateText, nameText, timeText } from './certificate-text.ts';
import { nameKey } from './compare-names.ts';
import { checkCrl, checkCrlDates, crlRefusal } from './crl-rules.ts';
import {
  allReasons,
  type CrlScope,
  crlEntryOf,
  crlIssuersOf,
  crlScopeOf,
  isDeltaOf,
} from './crl-scope.ts';
import { CrlSigners, type CrlSignersOptions, isSameAuthority } from './crl-signers.ts';
import type { PathRefused } from './path-request.ts';

export interface CrlChecksOptions extends CrlSignersOptions {
  /** Complete and delta lists, in any order. Undefined: nothing is checked. */
  readonly lists: readonly Crl[] | undefined;
  readonly at: number;
}

/** A certificate on a path below `issuer`; `anchor` is undefined while the path has none yet. */
interface Question {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  readonly anchor: Certificate | undefined;
}

/** What one complete list, with its delta, says. */
type Statement =
  | { readonly kind: 'says'; readonly entry: CrlEntry | undefined }
  | { readonly kind: 'pending' }
  | { readonly kind: 'unusable'; readonly refusal: PathRefused };

/**
 * Asks the given lists about a certificate (RFC 5280 §6.3.3).
 *
 * Usable lists must together cover every reason, and none of the usable may have the certificate. A
 * list that is stale, does not verify or is about others is as good as none, so that it can neither
 * hide a revocation nor make up for a list that is missing. Deltas are taken into account wherever
 * they fit a complete list, and never needed.
 */
export class CrlChecks {
  readonly #complete = new Map<string, Crl[]>();
  readonly #deltas = new Map<string, Crl[]>();
  readonly #signers: CrlSigners;
  readonly #options: CrlChecksOptions;
  readonly #answers = new Map<Certificate, { to: Question; answer: PathRefused | undefined }[]>();

  constructor(options: CrlChecksOptions) {
    for (const crl of [...(options.lists ?? [])].sort(compareLists)) {
      const byIssuer = crl.deltaCrlBase === undefined ? this.#complete : this.#deltas;
      const key = nameKey(crl.issuer);
      const lists = byIssuer.get(key) ?? [];
      byIssuer.set(key, lists);
      lists.push(crl);
    }
    this.#signers = new CrlSigners(options);
    this.#options = options;
  }

  /**
   * Whether the certificate is revoked, or not known not to be. Without an anchor, lists that only
   * it can decide on are passed over: ask again once it is known.
   */
  check(
    certificate: Certificate,
    issuer: Certificate,
    anchor: Certificate | undefined,
  ): PathRefused | undefined {
    if (this.#options.lists === undefined) return undefined;
    const question: Question = { certificate, issuer, anchor };
    const answers = this.#answers.get(certificate) ?? [];
    const known = answers.find(({ to }) => to.issuer === issuer && to.anchor === anchor);
    if (known !== undefined) return known.answer;
    const answer = this.#ask(question);
    // what was answered while a signer was in question may be otherwise for who asks next
    if (this.#signers.areSettled)
      this.#answers.set(certificate, [...answers, { to: question, answer }]);
    return answer;
  }

  #ask(question: Question): PathRefused | undefined {
    const { certificate } = question;
    const covered = new Set<ReasonFlag>();
    let unusable: PathRefused | undefined;
    let pending = false;
    for (const { crl, scope } of this.#listsAbout(question)) {
      // RFC 5280 §6.3.3 (e): a list that adds nothing need not be proved, unless it has the certificate
      if (isSubset(scope.reasons, covered) && !this.#mentions(crl, certificate)) continue;
      const statement = this.#statementOf(crl, scope, question);
      if (statement.kind === 'pending') pending = true;
      if (statement.kind === 'unusable') unusable ??= statement.refusal;
      if (statement.kind !== 'says') continue;
      const { entry } = statement;
      // RFC 5280 §6.3.3 (k)
      if (entry !== undefined && entry.reason !== 'removeFromCRL')
        return revoked(certificate, crl, entry);
      // RFC 5280 §6.3.3 (l)
      for (const reason of scope.reasons) covered.add(reason);
    }
    if (covered.size === allReasons.size || pending) return undefined;
    return unusable ?? uncovered(certificate, covered);
  }

  /** Those by the key that issued the certificate first: they need no proof of their own. */
  #listsAbout({ certificate, issuer }: Question): { crl: Crl; scope: CrlScope }[] {
    const lists = crlIssuersOf(certificate)
      .flatMap((name) => this.#complete.get(nameKey(name)) ?? [])
      .flatMap((crl) => {
        const scope = crlScopeOf(certificate, crl);
        return scope === undefined ? [] : [{ crl, scope }];
      });
    const own = lists.filter(({ crl }) => this.#signers.isBy(crl, issuer));
    return [...own, ...lists.filter((list) => !own.includes(list))];
  }

  #mentions(crl: Crl, certificate: Certificate): boolean {
    const lists = [crl, ...(this.#deltas.get(nameKey(crl.issuer)) ?? [])];
    return lists.some((list) => crlEntryOf(certificate, list) !== undefined);
  }

  #statementOf(crl: Crl, scope: CrlScope, { certificate, issuer, anchor }: Question): Statement {
    const deltas = this.#deltasOf(crl);
    // RFC 5280 §6.3.3 (a) (1) (i): a list that ended is kept up by a delta, where it is announced
    const isUpdated = deltas.length > 0 && (hasDeltas(certificate) || hasDeltas(crl));
    const refused = checkCrl(crl) ?? checkCrlDates(crl, this.#options.at, { isUpdated });
    if (refused !== undefined) return { kind: 'unusable', refusal: refused };
    const found = this.#signers.signerOf(crl, issuer, anchor);
    if (found.kind === 'pending') return found;
    if (found.kind === 'refused') return { kind: 'unusable', refusal: found.refusal };
    if (found.kind === 'in question') return aboutItself(crl, scope, certificate, found.signer);
    const delta = deltas.find((other) => this.#isSignedBy(other, found.spki));
    const late = checkCrlDates(crl, this.#options.at, {
      isUpdated: isUpdated && delta !== undefined,
    });
    if (late !== undefined) return { kind: 'unusable', refusal: late };
    // RFC 5280 §6.3.3 (i), (j)
    const updated = delta === undefined ? undefined : crlEntryOf(certificate, delta);
    return { kind: 'says', entry: updated ?? crlEntryOf(certificate, crl) };
  }

  /** Usable ones but for their signature, the newest first. */
  #deltasOf(crl: Crl): Crl[] {
    const deltas = this.#deltas.get(nameKey(crl.issuer)) ?? [];
    const { at } = this.#options;
    return deltas
      .filter((delta) => isDeltaOf(delta, crl))
      .filter((delta) => checkCrl(delta) === undefined)
      .filter((delta) => checkCrlDates(delta, at, { isUpdated: false }) === undefined)
      .sort((a, b) => ((a.crlNumber ?? 0n) < (b.crlNumber ?? 0n) ? 1 : -1));
  }

  // RFC 5280 §6.3.3 (h): with the key of the complete list
  #isSignedBy(delta: Crl, spki: SubjectPublicKeyInfo): boolean {
    return this.#options.signatures.verify(delta, spki);
  }
}

/**
 * A list by the very key whose certificate is asked about. That it has the certificate counts; that
 * it has not, only where the certificate's issuer leaves its revocation to that list (`cRLIssuer`),
 * so that there is no other.
 */
function aboutItself(
  crl: Crl,
  scope: CrlScope,
  certificate: Certificate,
  signer: Certificate,
): Statement {
  const entry = crlEntryOf(certificate, crl);
  const isLeftToIt = scope.designated && isSameAuthority(certificate, signer);
  if (entry !== undefined || isLeftToIt) return { kind: 'says', entry };
  const detail = `is signed by the key of "${certificateText(signer)}", which only this list would vouch for`;
  return { kind: 'unusable', refusal: crlRefusal(crl, 'ERR_CRL_ISSUER', detail) };
}

/** The newest first, whatever the order they were given in. */
function compareLists(a: Crl, b: Crl): number {
  return b.thisUpdate - a.thisUpdate || Buffer.compare(a.raw, b.raw);
}

function isSubset<T>(inner: ReadonlySet<T>, outer: ReadonlySet<T>): boolean {
  return [...inner].every((value) => outer.has(value));
}

function hasDeltas({ extensions }: Certificate | Crl): boolean {
  return findExtension(extensions, oids.freshestCrl) !== undefined;
}

function revoked(certificate: Certificate, crl: Crl, entry: CrlEntry): PathRefused {
  const subject = certificateText(certificate);
  const { serialHex } = certificate;
  const { reason, date } = entry;
  const entryText = `on the list of "${nameText(crl.issuer)}" since ${timeText(date)}, reason ${reason}`;
  const detail = `certificate "${subject}" is revoked: serial "${serialHex}" is ${entryText}`;
  return { ...denial('ERR_CERT_REVOKED', detail, { subject, serialHex, reason, date }), subject };
}

function uncovered(certificate: Certificate, covered: ReadonlySet<ReasonFlag>): PathRefused {
  const subject = certificateText(certificate);
  const issuer = nameText(certificate.issuer);
  const missing = [...allReasons].filter((reason) => !covered.has(reason));
  const what =
    covered.size === 0
      ? 'no revocation list that was given is about it'
      : `no revocation list that was given tells of revocation for ${missing.join(', ')}`;
  const detail = `certificate "${subject}", issued by "${issuer}", may be revoked: ${what}`;
  return { ...denial('ERR_CRL_MISSING', detail, { subject, issuer, missing }), subject };
}
