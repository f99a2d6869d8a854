import { der } from '../der-writer.ts';
import type { Extension } from '../extension.ts';
import { encodeExtensions } from '../extension-builders.ts';
import type { CertId } from './cert-id.ts';
import { nonceExtension } from './ocsp-extensions.ts';

export interface OcspRequestTemplate {
  /** At least one; many responders answer for the first alone. */
  readonly certIds: readonly CertId[];
  /** 1 to 128 random octets, 32 recommended (RFC 9654 §2.1). Absent: a pre-signed answer is welcome. */
  readonly nonce?: Uint8Array | undefined;
  /** Beside the nonce. */
  readonly extensions?: readonly Extension[];
}

/** DER of an unsigned request (RFC 6960 §4.1.1). */
export function buildOcspRequest(template: OcspRequestTemplate): Uint8Array {
  const { certIds, nonce, extensions = [] } = template;
  if (certIds.length === 0)
    throw new RangeError('an OCSP request asks for at least one certificate');
  const all = nonce === undefined ? extensions : [nonceExtension(nonce), ...extensions];
  const list = der.sequence(...certIds.map(({ raw }) => der.sequence(raw)));
  const tail = all.length === 0 ? [] : [der.explicit(2, encodeExtensions(all))];
  return der.sequence(der.sequence(list, ...tail));
}
