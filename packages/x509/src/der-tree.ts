import { DerError } from './der-error.ts';
import { certificateLimits, type DerLimits } from './der-limits.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';

/** Any DER document without its schema. Octet strings stay closed. */
export type DerTree =
  | { readonly tag: number; readonly offset: number; readonly content: Uint8Array }
  | { readonly tag: number; readonly offset: number; readonly children: readonly DerTree[] };

/** @throws DerError */
export function readDerTree(bytes: Uint8Array, limits: DerLimits = certificateLimits): DerTree {
  const reader = DerReader.over(bytes, 'document', limits);
  reader.any('document');
  reader.end('document');
  return readElement(DerReader.over(bytes, 'document', limits));
}

/** Canonical again: what `readDerTree` accepted gives the same bytes. */
export function encodeDerTree(tree: DerTree): Uint8Array {
  const parts = 'content' in tree ? [tree.content] : tree.children.map(encodeDerTree);
  return der.element(tree.tag, parts);
}

function readElement(reader: DerReader): DerTree {
  const tag = reader.nextTag;
  const offset = reader.offset;
  if (tag === -1) throw new DerError('ERR_DER_TRUNCATED', 'document', offset, 'is empty');
  if ((tag & 0x20) === 0) return { tag, offset, content: reader.octetString('element', tag) };
  const inner = reader.constructed('element', tag);
  const children: DerTree[] = [];
  while (!inner.atEnd) children.push(readElement(inner));
  return { tag, offset, children };
}
