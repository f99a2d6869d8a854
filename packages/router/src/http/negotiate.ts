import type { PartFormat } from '../defer/deliver-parts.ts';

/** The media types of an answer (GraphQL over HTTP §4). */
export type ResponseType =
  | 'application/graphql-response+json'
  | 'application/json'
  | 'text/event-stream'
  | 'multipart/mixed';

/** A media type that the caller accepts, and how it takes an answer in parts: undefined where it does not. */
export interface AcceptedType {
  readonly type: ResponseType;
  readonly parts: PartFormat | undefined;
}

const known: readonly ResponseType[] = [
  'application/json',
  'application/graphql-response+json',
  'text/event-stream',
  'multipart/mixed',
];

/** By the parameter that names it; a range that names another is none that we have. */
const formats: ReadonlyMap<string, PartFormat> = new Map([
  ['deferspec=20220824', 'deferSpec=20220824'],
  ['incrementalspec=v0.2', 'incrementalSpec=v0.2'],
]);

/** Incremental delivery over HTTP without a word on its shape: the one that is being specified. */
const usualFormat: PartFormat = 'incrementalSpec=v0.2';

/**
 * What the caller accepts, best first; `application/json` where it says nothing or anything. Empty: nothing that we
 * have.
 */
export function acceptedTypes(accept: string | undefined): readonly AcceptedType[] {
  const usual = fixed.get(accept ?? '');
  if (usual !== undefined) return usual;
  const found: (AcceptedType & { readonly quality: number })[] = [];
  for (const entry of (accept ?? '').slice(0, 2000).split(',')) {
    const [range = '', ...parameters] = entry
      .split(';')
      .map((part) => part.trim().toLowerCase().replaceAll('"', ''));
    const q = parameters.find((part) => part.startsWith('q='))?.slice(2);
    const quality = q === undefined ? 1 : Number(q) || 0;
    if (quality === 0) continue;
    if (range === '*/*' || range === 'application/*') {
      found.push({ type: 'application/json', parts: undefined, quality });
    }
    const type = known.find((each) => each === range);
    if (type === undefined) continue;
    const spec = parameters.find((part) => /^[a-z]*spec=/.test(part));
    const named = spec === undefined ? undefined : formats.get(spec);
    if (spec !== undefined && named === undefined) continue;
    const parts = named ?? (type === 'multipart/mixed' ? usualFormat : undefined);
    found.push({ type, parts, quality });
  }
  return found.sort((a, b) => b.quality - a.quality).map(({ type, parts }) => ({ type, parts }));
}

const fixed = new Map<string, readonly AcceptedType[]>(
  (
    [
      ['', 'application/json'],
      ['*/*', 'application/json'],
      ['application/json', 'application/json'],
      ['application/graphql-response+json', 'application/graphql-response+json'],
    ] as const
  ).map(([accept, type]) => [accept, [{ type, parts: undefined }]]),
);
