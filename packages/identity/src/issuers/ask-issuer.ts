import { CountersignError } from '@countersign/base';
import { formatBundleDocument, makeBundle } from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';
import { type Certificate, fingerprintOf, verifySignature } from '@countersign/x509';
import type { Issuer, IssuerOrder, RootsSource } from './issuer.ts';
import { generalNamesOf, namesText } from './named-request.ts';

export interface IssuerTrust {
  /** Who is trusted, whatever the issuer says. Absent: the roots that its own answer names. */
  readonly roots?: RootsSource | undefined;
  /** Of the bundle. */
  readonly trustDomain: string;
}

/**
 * What an issuer answered, in the form that our own authority answers in, so that the same proofs are asked of it: what
 * is checked here is what the form cannot say, the names that were asked for and the roots that count.
 *
 * @throws CountersignError ERR_ISSUER_*
 */
export async function askIssuer(
  issuer: Issuer,
  order: IssuerOrder,
  trust: IssuerTrust,
): Promise<IssueResponse> {
  // 1. the answer
  const { chain, roots: said } = await issuer.issue(order);
  const [leaf, ...signers] = chain;
  if (leaf === undefined) throw wrong(issuer, 'no certificate');
  // 2. the names, all of them and no others
  const wanted = namesText(generalNamesOf(order.names));
  const found = namesText(leaf.subjectAltNames);
  if (found !== wanted) throw wrong(issuer, `names "${found}", asked for were "${wanted}"`);
  // 3. the roots: those that are configured, or those that came over a connection that was proved
  const roots = (await trust.roots?.()) ?? said;
  if (roots.length === 0) {
    const message = `${issuer.title} names no root, and none is configured`;
    throw new CountersignError('ERR_ISSUER_ROOT', message);
  }
  checkRoot(issuer, signers.at(-1) ?? leaf, roots);
  // 4. in our own form
  const bundle = makeBundle(trust.trustDomain, roots);
  const { spiffeId } = order.names;
  return {
    ...(spiffeId === undefined ? {} : { spiffeId }),
    serial: leaf.serialHex,
    notAfter: leaf.notAfter,
    chain: [leaf, ...signers.filter((each) => !isSelfSigned(each))].map(({ raw }) => raw),
    bundle: JSON.parse(formatBundleDocument(bundle)),
    trustDomain: bundle.trustDomain,
  };
}

/** Whether a certificate is signed by its own key. */
export function isSelfSigned(certificate: Certificate): boolean {
  const { subject, issuer } = certificate;
  const isSelfIssued = Buffer.from(subject.raw).equals(Buffer.from(issuer.raw));
  return isSelfIssued && isSignedBy(certificate, certificate);
}

function isSignedBy(certificate: Certificate, signer: Certificate): boolean {
  const { signatureAlgorithm, tbs, signature } = certificate;
  return verifySignature(signer.spki, signatureAlgorithm, tbs, signature);
}

/** A plain word for the commonest mistake; the path itself is validated by whoever takes the answer. */
function checkRoot(issuer: Issuer, last: Certificate, roots: readonly Certificate[]): void {
  const print = fingerprintOf(last);
  const isLed = roots.some((root) => fingerprintOf(root) === print || isSignedBy(last, root));
  if (isLed) return;
  const known = roots.map(fingerprintOf).join(', ');
  throw new CountersignError(
    'ERR_ISSUER_ROOT',
    `what ${issuer.title} issued does not lead to a root that is trusted: its chain ends with ${print}, trusted are ${known}`,
    { fields: { last: print, roots: known } },
  );
}

function wrong(issuer: Issuer, what: string): CountersignError {
  return new CountersignError('ERR_ISSUER_ANSWER', `${issuer.title} answered ${what}`);
}
