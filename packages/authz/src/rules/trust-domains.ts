/** What Istio takes for the mesh's own trust domain, whatever its name. */
const localTrustDomain = 'cluster.local';

/**
 * Principals with each of the mesh's trust domains, where they name one of them or `cluster.local`, which stands for
 * all. Others stay as they are: those of five segments have a trust domain, and a lone star asks for none.
 */
export function withAliases(
  principals: readonly string[],
  trustDomains: readonly string[],
): readonly string[] {
  return principals.flatMap((principal) => {
    const [trustDomain = '', ...rest] = principal.split('/');
    if (rest.length !== 4 || trustDomain === '*') return [principal];
    const isOwn = trustDomains.some((own) => isAlike(trustDomain, own));
    if (!isOwn && trustDomain !== localTrustDomain) return [principal];
    const renamed = trustDomains.map((own) =>
      endsLike(own, trustDomain) ? principal : [own, ...rest].join('/'),
    );
    return [...new Set(renamed)];
  });
}

/** Trust domains, of which the mesh's own stands for its aliases as well. */
export function withAliasDomains(
  values: readonly string[],
  trustDomains: readonly string[],
): readonly string[] {
  const all = values.flatMap((value) => (trustDomains.includes(value) ? trustDomains : [value]));
  return [...new Set(all)];
}

function isAlike(a: string, b: string): boolean {
  return (
    a === b || b === '*' || beginsLike(a, b) || beginsLike(b, a) || endsLike(a, b) || endsLike(b, a)
  );
}

function beginsLike(text: string, pattern: string): boolean {
  return pattern.endsWith('*') && text.startsWith(pattern.slice(0, -1));
}

function endsLike(text: string, pattern: string): boolean {
  return pattern.startsWith('*') && text.endsWith(pattern.slice(1));
}
