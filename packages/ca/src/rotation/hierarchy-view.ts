import type { Certificate } from '@countersign/x509';
import {
  type Generation,
  ledgerNameOf,
  type Phase,
  type RotationDocument,
} from './rotation-document.ts';

/*
 * What follows from a document: who signs, who is trusted, which certificates go along.
 */

export const rootName = 'root';

const trusted: ReadonlySet<Phase> = new Set(['prepared', 'active', 'replaced']);

export function generationsOf(
  { generations }: RotationDocument,
  name: string,
): readonly Generation[] {
  return generations.filter((each) => each.name === name);
}

/** The generation of a phase; of `retired` and `dropped`, of which there may be many, the newest. */
export function inPhase(
  document: RotationDocument,
  name: string,
  phase: Phase,
): Generation | undefined {
  return generationsOf(document, name).findLast((each) => each.phase === phase);
}

export function activeOf(document: RotationDocument, name: string): Generation {
  const found = inPhase(document, name, 'active');
  if (found === undefined) throw new TypeError(`an active generation of "${name}"`);
  return found;
}

/** Those of an authority whose certificates may be met now. */
export function trustedOf(document: RotationDocument, name: string): readonly Generation[] {
  return generationsOf(document, name).filter((each) => trusted.has(each.phase));
}

/** Those that may have signed something which has not ended: they sign lists about it. */
export function signingOf({ generations }: RotationDocument): readonly Generation[] {
  return generations.filter(
    ({ phase, certificates }) =>
      phase !== 'making' && phase !== 'dropped' && certificates.length > 0,
  );
}

export function certifiedBy(
  { certificates }: Generation,
  by: Pick<Generation, 'name' | 'number'>,
): Certificate | undefined {
  return certificates.find((each) => each.by === ledgerNameOf(by))?.certificate;
}

/** Of a root: the certificate that it signed itself. */
export function selfSigned(root: Generation): Certificate {
  const found = certifiedBy(root, root);
  if (found === undefined) throw new TypeError(`a certificate of "${ledgerNameOf(root)}"`);
  return found;
}

/** Of a root its own; of an intermediate the one that was made last. */
export function newestCertificate(generation: Generation): Certificate {
  if (generation.name === rootName) return selfSigned(generation);
  const newest = generation.certificates.at(-1)?.certificate;
  if (newest === undefined) throw new TypeError(`a certificate of "${ledgerNameOf(generation)}"`);
  return newest;
}

/** The certificate of a generation in chains of now: by the active generation of its issuer. */
export function certificateInForce(
  document: RotationDocument,
  generation: Generation,
  issuer: string,
): Certificate {
  if (generation.name === rootName) return selfSigned(generation);
  const found = certifiedBy(generation, activeOf(document, issuer));
  // One that was retired is not certified anew; what it has is as good for the lists that it signs.
  const last = generation.certificates.at(-1)?.certificate;
  if (found === undefined && last !== undefined) return last;
  if (found !== undefined) return found;
  throw new TypeError(`a certificate of "${ledgerNameOf(generation)}"`);
}

/** Trust anchors, in the order in which they were made: the text of the bundle is the same whichever signs. */
export function anchorsOf(document: RotationDocument): readonly Certificate[] {
  return trustedOf(document, rootName).map(selfSigned);
}

/** What goes along with chains to the active root, for those who have the bundle of before: that root by the one before. */
export function linksToReplaced(document: RotationDocument): readonly Certificate[] {
  const replaced = inPhase(document, rootName, 'replaced');
  if (replaced === undefined) return [];
  const link = certifiedBy(activeOf(document, rootName), replaced);
  return link === undefined ? [] : [link];
}

/** Whether any key is between two generations. */
export function isRotating({ generations }: RotationDocument): boolean {
  return generations.some(({ phase }) => phase === 'prepared' || phase === 'replaced');
}

/** The document with a generation in the place of the one of its name and number, or behind all. */
export function withGeneration(document: RotationDocument, changed: Generation): RotationDocument {
  const { generations } = document;
  const at = generations.findIndex(
    ({ name, number }) => name === changed.name && number === changed.number,
  );
  const next = at < 0 ? [...generations, changed] : generations.with(at, changed);
  return { ...document, generations: next };
}

export function withCertificate(
  generation: Generation,
  by: Pick<Generation, 'name' | 'number'>,
  certificate: Certificate,
): Generation {
  const name = ledgerNameOf(by);
  const others = generation.certificates.filter((each) => each.by !== name);
  return { ...generation, certificates: [...others, { by: name, certificate }] };
}
