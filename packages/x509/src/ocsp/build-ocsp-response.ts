import { hash } from 'node:crypto';
import { der } from '../der-writer.ts';
import type { Extension } from '../extension.ts';
import { encodeExtensions, extension } from '../extension-builders.ts';
import type { Name } from '../name.ts';
import { oids } from '../oids.ts';
import { type RevocationReason, revocationReasons } from '../revocation-reason.ts';
import type { Signer } from '../signer.ts';
import type { CertId } from './cert-id.ts';
import { nonceExtension } from './ocsp-extensions.ts';
import {
  type OcspCertStatus,
  type OcspResponseStatus,
  ocspResponseStatuses,
} from './ocsp-response.ts';

/** Who answers, with all that is the same in each of its answers encoded once. */
export interface OcspResponder {
  readonly signer: Signer;
  /** DER of the ResponderID. */
  readonly id: Uint8Array;
  /** DER of the [0] with the certificates, empty where there are none. */
  readonly certificates: Uint8Array;
}

export interface OcspResponderOptions {
  readonly signer: Signer;
  /** The responder's own name; without one it is called by its key, which is shorter. */
  readonly name?: Name | undefined;
  /**
   * DER of the delegated certificate of `signer`, and of what a client may lack above it. None where the issuer answers
   * itself.
   */
  readonly certificates?: readonly Uint8Array[];
}

export function ocspResponder(options: OcspResponderOptions): OcspResponder {
  const { signer, name, certificates = [] } = options;
  // RFC 6960 §4.2.1: KeyHash is SHA-1, whatever the answer is signed with
  const keyHash = (): Uint8Array => hash('sha1', signer.spki.bits, 'buffer');
  const id =
    name === undefined ? der.explicit(2, der.octetString(keyHash())) : der.explicit(1, name.raw);
  const sent = certificates.length === 0 ? none : der.explicit(0, der.sequence(...certificates));
  return { signer, id: id.slice(), certificates: sent };
}

export interface OcspAnswer {
  /** As the request has it: a client may compare the bytes. */
  readonly certId: Pick<CertId, 'raw'>;
  readonly status: OcspCertStatus;
  readonly thisUpdate: number;
  /** Absent: newer information is there at any time, and nobody may keep this answer. */
  readonly nextUpdate?: number | undefined;
  readonly archiveCutoff?: number | undefined;
}

export interface OcspResponseTemplate {
  readonly responder: OcspResponder;
  /** Ms since the epoch, rounded down to the second, as all times here. */
  readonly producedAt: number;
  /** At least one, in the order of the request. */
  readonly answers: readonly OcspAnswer[];
  /** That of the request (RFC 9654 §2.1). */
  readonly nonce?: Uint8Array | undefined;
  /** Beside the nonce. */
  readonly extensions?: readonly Extension[];
}

/** DER of a successful, signed answer (RFC 6960 §4.2.1). It costs little more than its signature. */
export async function buildOcspResponse(template: OcspResponseTemplate): Promise<Uint8Array> {
  const { responder, producedAt, answers, nonce, extensions = [] } = template;
  if (answers.length === 0)
    throw new RangeError('an OCSP answer speaks of at least one certificate');
  const { signer, id, certificates } = responder;
  const all = nonce === undefined ? extensions : [nonceExtension(nonce), ...extensions];
  const tail = all.length === 0 ? none : der.explicit(1, encodeExtensions(all));
  const list = der.sequence(...answers.map(encodeAnswer));
  const tbs = der.sequence(id, der.generalizedTime(producedAt), list, tail);
  const signed = signer.sign(tbs);
  const signature = der.bitString(signed instanceof Promise ? await signed : signed);
  const basic = der.sequence(tbs, signer.algorithm.identifier, signature, certificates);
  const body = der.explicit(0, der.sequence(basicType, der.octetString(basic)));
  return der.sequence(successful, body).slice();
}

/** DER of an answer that says only why there is none. Not signed, and the same for everybody. */
export function buildOcspErrorResponse(
  status: Exclude<OcspResponseStatus, 'successful'>,
): Uint8Array {
  return der.sequence(der.enumerated(ocspResponseStatuses[status])).slice();
}

const none = new Uint8Array(0);
const basicType = der.oid(oids.ocspBasic);
const successful = der.enumerated(ocspResponseStatuses.successful);

function encodeAnswer(answer: OcspAnswer): Uint8Array {
  const { certId, nextUpdate, archiveCutoff } = answer;
  return der.sequence(
    certId.raw,
    encodeStatus(answer.status),
    der.generalizedTime(answer.thisUpdate),
    nextUpdate === undefined ? none : der.explicit(0, der.generalizedTime(nextUpdate)),
    archiveCutoff === undefined ? none : encodeArchiveCutoff(archiveCutoff),
  );
}

function encodeStatus(status: OcspCertStatus): Uint8Array {
  if (status.status === 'good') return good;
  if (status.status === 'unknown') return unknown;
  return der.explicit(1, der.generalizedTime(status.at), reasons[status.reason]);
}

const good = der.context(0, none);
const unknown = der.context(2, none);

/** `unspecified` is said by absence. */
const reasons = Object.fromEntries(
  Object.entries(revocationReasons).map(([reason, number]) => [
    reason,
    number === 0 ? none : der.explicit(0, der.enumerated(number)),
  ]),
) as Record<RevocationReason, Uint8Array>;

// RFC 6960 §4.4.4
function encodeArchiveCutoff(archiveCutoff: number): Uint8Array {
  const value = der.generalizedTime(archiveCutoff);
  return der.explicit(1, encodeExtensions([extension.other(oids.ocspArchiveCutoff, false, value)]));
}
