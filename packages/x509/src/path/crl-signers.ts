import { equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import type { Name } from '../name.ts';
import type { SubjectPublicKeyInfo } from '../spki.ts';
import { certificateText } from './certificate-text.ts';
import { sameName } from './compare-names.ts';
import { crlRefusal } from './crl-rules.ts';
import type { PathRefused } from './path-request.ts';
import type { SignatureChecks } from './signature-checks.ts';

export type CrlSigner =
  | { readonly kind: 'proven'; readonly spki: SubjectPublicKeyInfo }
  /** The signer's own certificate is being proved right now, and this list is asked about it. */
  | { readonly kind: 'in question'; readonly signer: Certificate }
  /** Some certificate's key has signed it; whether that leads to the anchor is not known yet. */
  | { readonly kind: 'pending' }
  | { readonly kind: 'refused'; readonly refusal: PathRefused };

export interface CrlSignersOptions {
  readonly signatures: SignatureChecks;
  /** Everything that was given with this subject, anchors included. */
  readonly named: (subject: Name) => readonly Certificate[];
  /** Whether the certificate has a path to exactly that anchor, unrevoked all the way. */
  readonly provePath: (certificate: Certificate, anchor: Certificate) => PathRefused | undefined;
}

/**
 * Finds the key that has signed a list (RFC 5280 §6.3.3 (f), (g)): the key of the CA that issued
 * the certificate in question, or one that another certificate certifies for the list's issuer,
 * which then needs a path of its own to the same anchor.
 */
export class CrlSigners {
  readonly #options: CrlSignersOptions;
  /** Whose paths are being proved, the innermost last: a list by one of them proves nothing of it. */
  readonly #inQuestion: Certificate[] = [];
  readonly #proofs = new Map<Certificate, Map<Certificate, PathRefused | undefined>>();

  constructor(options: CrlSignersOptions) {
    this.#options = options;
  }

  /** Nobody's path is being proved, so that an answer holds whoever asks next. */
  get areSettled(): boolean {
    return this.#inQuestion.length === 0;
  }

  /** Whether the CA that issued the certificate in question has signed the list, as it may. */
  isBy(crl: Crl, issuer: Certificate): boolean {
    return (
      sameName(crl.issuer, issuer.subject) &&
      checkMaySign(crl, issuer) === undefined &&
      this.#options.signatures.verify(crl, issuer.spki)
    );
  }

  /**
   * @param issuer of the certificate in question, on the path
   * @param anchor of the path; undefined while the path has not reached one
   */
  signerOf(crl: Crl, issuer: Certificate, anchor: Certificate | undefined): CrlSigner {
    if (this.isBy(crl, issuer)) return { kind: 'proven', spki: issuer.spki };
    let refusal: PathRefused | undefined;
    for (const signer of this.#candidates(crl, issuer)) {
      if (!this.#options.signatures.verify(crl, signer.spki)) continue;
      const muted = checkMaySign(crl, signer);
      if (muted === undefined && anchor === undefined) return { kind: 'pending' };
      if (muted === undefined && this.#isInQuestion(signer)) return { kind: 'in question', signer };
      const unproven = muted ?? (anchor && this.#prove(signer, anchor));
      if (unproven === undefined) return { kind: 'proven', spki: signer.spki };
      refusal ??= muted ?? notProven(crl, signer, unproven);
    }
    return { kind: 'refused', refusal: refusal ?? notVerified(crl, issuer) };
  }

  #candidates(crl: Crl, issuer: Certificate): readonly Certificate[] {
    const named = this.#options.named(crl.issuer).filter((signer) => signer !== issuer);
    const others = named
      .map((signer) => ({ signer, isMeant: isMeantBy(crl, signer) ? 0 : 1 }))
      .sort((a, b) => a.isMeant - b.isMeant || Buffer.compare(a.signer.raw, b.signer.raw))
      .map(({ signer }) => signer);
    return sameName(crl.issuer, issuer.subject) ? [issuer, ...others] : others;
  }

  #isInQuestion(signer: Certificate): boolean {
    return this.#inQuestion.some((other) => isSameAuthority(other, signer));
  }

  #prove(signer: Certificate, anchor: Certificate): PathRefused | undefined {
    if (isSameAuthority(signer, anchor)) return undefined;
    const known = this.#proofs.get(signer);
    if (known?.has(anchor) === true) return known.get(anchor);
    const { areSettled } = this;
    this.#inQuestion.push(signer);
    const refused = this.#options.provePath(signer, anchor);
    this.#inQuestion.pop();
    if (areSettled) this.#proofs.set(signer, (known ?? new Map()).set(anchor, refused));
    return refused;
  }
}

/** One name with one key is one authority, however many certificates it has. */
export function isSameAuthority(a: Certificate, b: Certificate): boolean {
  return sameName(a.subject, b.subject) && equalBytes(a.spki.raw, b.spki.raw);
}

function isMeantBy({ authorityKeyId }: Crl, { subjectKeyId }: Certificate): boolean {
  const keyId = authorityKeyId?.keyId;
  return keyId !== undefined && subjectKeyId !== undefined && equalBytes(keyId, subjectKeyId);
}

// RFC 5280 §6.3.3 (f): where the issuer has a key usage, it must allow CRLs
function checkMaySign(crl: Crl, { keyUsage }: Certificate): PathRefused | undefined {
  if (keyUsage === undefined || keyUsage.has('cRLSign')) return undefined;
  const detail = `is of a CA with key usage ${[...keyUsage].join(', ')}, without cRLSign`;
  return crlRefusal(crl, 'ERR_CRL_ISSUER', detail);
}

function notProven(crl: Crl, signer: Certificate, why: PathRefused): PathRefused {
  const detail = `is signed by the key of "${certificateText(signer)}", which has no path to the same trust anchor: ${why.detail}`;
  return crlRefusal(crl, 'ERR_CRL_ISSUER', detail);
}

function notVerified(crl: Crl, issuer: Certificate): PathRefused {
  const whose = sameName(crl.issuer, issuer.subject)
    ? `the key of "${certificateText(issuer)}"`
    : 'the key of any certificate of that name that was given';
  return crlRefusal(crl, 'ERR_CRL_SIGNATURE', `has a signature that does not verify with ${whose}`);
}
