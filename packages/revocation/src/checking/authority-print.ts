import { hash } from 'node:crypto';
import { concatBytes } from '@countersign/base';
import type { Certificate } from '@countersign/x509';

const prints = new WeakMap<Certificate, string>();

/** One name with one key is one authority, however many certificates it has, and however often they are read. */
export function authorityPrint(authority: Certificate): string {
  const known = prints.get(authority);
  if (known !== undefined) return known;
  const print = hash('sha256', concatBytes(authority.subject.raw, authority.spki.raw), 'hex');
  prints.set(authority, print);
  return print;
}
