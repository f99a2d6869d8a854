import type { Certificate } from '@countersign/x509';
import type { Draft, Profile } from '../draft.ts';

/** What is a certificate's own, and not the same in all that are made from one template. */
export type OwnPart = Pick<
  Certificate,
  'subject' | 'notBefore' | 'notAfter' | 'subjectAltNames' | 'subjectKeyId' | 'spki'
>;

/** `check` answers what is wrong, with both sides, or undefined. */
export type LintRule = {
  readonly name: string;
  readonly clause: string;
  readonly profiles: readonly Profile[];
} & (
  | {
      /** About what a template fixes: checked on a certificate that was read back from its bytes. */
      readonly about: 'template';
      check(certificate: Certificate, draft: Draft): string | undefined;
    }
  | {
      /** About what is a certificate's own: checked on each. */
      readonly about: 'own';
      check(own: OwnPart, draft: Draft): string | undefined;
    }
);

export const everyProfile: readonly Profile[] = ['root', 'intermediate', 'service', 'responder'];
export const authorities: readonly Profile[] = ['root', 'intermediate'];
/** All but the root, which issues itself. */
export const issuedProfiles: readonly Profile[] = ['intermediate', 'service', 'responder'];

export function isCritical(certificate: Pick<Certificate, 'extensions'>, oid: string): boolean {
  return certificate.extensions.some((each) => each.oid === oid && each.critical);
}
