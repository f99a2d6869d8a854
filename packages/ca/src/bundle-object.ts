import { formatBundleDocument, type TrustBundle } from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';

/** A bundle as an object of JSON, written once: it is part of every answer. */
export function bundleObject(bundle: TrustBundle): IssueResponse['bundle'] {
  const known = written.get(bundle);
  if (known !== undefined) return known;
  const document = JSON.parse(formatBundleDocument(bundle));
  written.set(bundle, document);
  return document;
}

const written = new WeakMap<TrustBundle, IssueResponse['bundle']>();
