import { buildCertsOnly } from '@countersign/x509';
import { answerOf, type EstAnswer } from './encoded-answer.ts';
import type { EstLabel } from './est-config.ts';
import type { EstContext } from './est-context.ts';

/** RFC 7030 §4.1.3: every root of the trust bundle, and what stands between it and the certificates of the label. */
export function caCertificates({ authority }: EstContext, { intermediate }: EstLabel): EstAnswer {
  const names =
    intermediate === undefined
      ? authority.config.intermediates.filter((each) => each.signsServices).map(({ name }) => name)
      : [intermediate];
  const chains = names.flatMap((name) => authority.doors.issuerOf(name)?.chainDer ?? []);
  const roots = authority.bundle().authorities.map(({ raw }) => raw);
  const seen = new Map([...roots, ...chains].map((der) => [Buffer.from(der).toString('hex'), der]));
  return answerOf('application/pkcs7-mime', buildCertsOnly([...seen.values()]));
}
