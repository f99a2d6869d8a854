import { equalBytes } from '@countersign/base';
import { type Certificate, fingerprintOf } from '@countersign/x509';

/** More ways than that nobody tries. */
const mostPaths = 10;
const longestPath = 8;

/**
 * Every way from a leaf to a root through `pool`, in its order: where roots were replaced or have signed each other there
 * are several. A way ends below one of `roots`, and where no certificate of the pool leads on. Leaf and root are left out.
 */
export function chainPaths(
  leaf: Certificate,
  pool: readonly Certificate[],
  roots: readonly Certificate[],
): readonly (readonly Certificate[])[] {
  const known = new Set<string>();
  const own = pool.filter((each) => {
    const print = fingerprintOf(each);
    const isNew = !known.has(print) && !isSelfSigned(each);
    known.add(print);
    return isNew;
  });
  const paths: (readonly Certificate[])[] = [];
  follow(leaf, []);
  return paths;

  function follow(last: Certificate, path: readonly Certificate[]): void {
    if (paths.length >= mostPaths || path.length > longestPath) return;
    const next = own.filter(
      (each) => issued(each, last) && !path.some((one) => sameKey(one, each)),
    );
    const isAtRoot = roots.some((root) => issued(root, last));
    if (path.length > 0 && (isAtRoot || next.length === 0)) paths.push(path);
    for (const each of next) follow(each, [...path, each]);
  }
}

/** By name and key identifier: who made the pool has seen to the signatures. */
export function issued(issuer: Certificate, subject: Certificate): boolean {
  if (!equalBytes(issuer.subject.raw, subject.issuer.raw)) return false;
  const [of, by] = [issuer.subjectKeyId, subject.authorityKeyId?.keyId];
  return of === undefined || by === undefined || equalBytes(of, by);
}

function isSelfSigned(certificate: Certificate): boolean {
  return (
    equalBytes(certificate.subject.raw, certificate.issuer.raw) && issued(certificate, certificate)
  );
}

function sameKey(a: Certificate, b: Certificate): boolean {
  return equalBytes(a.spki.raw, b.spki.raw) && equalBytes(a.subject.raw, b.subject.raw);
}
