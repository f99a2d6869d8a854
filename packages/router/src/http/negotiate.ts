/** The media types of an answer (GraphQL over HTTP §4). */
export type ResponseType =
  | 'application/graphql-response+json'
  | 'application/json'
  | 'text/event-stream';

const known: readonly ResponseType[] = [
  'application/json',
  'application/graphql-response+json',
  'text/event-stream',
];

/**
 * What the caller accepts, best first; `application/json` where it says nothing or anything. Empty: nothing that we
 * have.
 */
export function acceptedTypes(accept: string | undefined): readonly ResponseType[] {
  const usual = fixed.get(accept ?? '');
  if (usual !== undefined) return usual;
  const found: { readonly type: ResponseType; readonly quality: number }[] = [];
  for (const entry of (accept ?? '').slice(0, 2000).split(',')) {
    const [range = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
    const q = parameters.find((part) => part.startsWith('q='))?.slice(2);
    const quality = q === undefined ? 1 : Number(q) || 0;
    if (quality === 0) continue;
    if (range === '*/*' || range === 'application/*')
      found.push({ type: 'application/json', quality });
    const type = known.find((each) => each === range);
    if (type !== undefined) found.push({ type, quality });
  }
  return found.sort((a, b) => b.quality - a.quality).map(({ type }) => type);
}

const fixed = new Map<string, readonly ResponseType[]>([
  ['', ['application/json']],
  ['*/*', ['application/json']],
  ['application/json', ['application/json']],
  ['application/graphql-response+json', ['application/graphql-response+json']],
]);
