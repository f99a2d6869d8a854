import type { CertificateProfile } from './certificate-profile.ts';

/**
 * Notices about profiles that SPIFFE identities can get and that lack clientAuth: a renewal shows the certificate that it
 * replaces as a client's, which such a certificate cannot be.
 */
export function unrenewableNotices(profiles: readonly CertificateProfile[]): string[] {
  return profiles
    .filter((each) => isForSpiffe(each) && !isForClients(each))
    .map(({ name, extKeyUsage }) => {
      const found = `profile "${name}" has extKeyUsage ${extKeyUsage.join(', ')} without clientAuth`;
      return `${found}: identities of it cannot renew over mTLS, only enrol anew`;
    });
}

function isForClients({ extKeyUsage }: CertificateProfile): boolean {
  return extKeyUsage.some((usage) => usage === 'clientAuth' || usage === 'anyExtendedKeyUsage');
}

/** Without `for` operators may name it for whatever they like. */
function isForSpiffe({ uses }: CertificateProfile): boolean {
  if (uses === undefined) return true;
  return uses.some(
    ({ names }) =>
      names === undefined ||
      names.some(({ written }) => written === '*' || written.startsWith('spiffe:')),
  );
}
