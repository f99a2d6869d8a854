import { type Denial, denial } from '@countersign/base';
import { attributeOf, type CertificateRequest, parseIpAddress } from '@countersign/x509';
import { type CertificateNames, countNames, formatNames, namesOf } from '../certificate-names.ts';

/** What a request asks for: its alternative names, or its common name where it has none. */
export interface AskedNames {
  readonly ok: true;
  readonly names: CertificateNames;
  /** For the subject; undefined where the request has none that is a name of a host. */
  readonly commonName: string | undefined;
  /** Whether the common name is all that it says. */
  readonly isTitled: boolean;
}

/** Denials: those of `namesOf`. */
export function askedNames(
  from: Pick<CertificateRequest, 'subject' | 'subjectAltNames'>,
): AskedNames | Denial {
  const written = attributeOf(from.subject, 'CN');
  const asTitle = namesOf(generalNameOf(written));
  const named = namesOf(from.subjectAltNames);
  if (!named.ok) return named;
  if (countNames(named.names) === 0 && asTitle.ok) {
    const isThere = countNames(asTitle.names) > 0;
    const commonName = isThere ? written : undefined;
    return { ok: true, names: asTitle.names, commonName, isTitled: isThere };
  }
  // "sensor 7" names no host, and subjects are ours; what looks like a host is judged as one.
  const title = asTitle.ok ? formatNames(asTitle.names)[0] : undefined;
  const isAmong = title !== undefined && formatNames(named.names).includes(title);
  const isHost = title !== undefined && /^ip:|\./.test(title);
  const commonName = isAmong || isHost ? written : undefined;
  return { ok: true, names: named.names, commonName, isTitled: false };
}

/**
 * RFC 7030 §4.2.2: a re-enrolment has the names of its certificate. Its SPIFFE ID may be left out: rules here give it to
 * clients that know of none. Denials: ERR_EST_NAMES.
 */
export function wrongWithRenewedNames(asked: AskedNames, current: AskedNames): Denial | undefined {
  const textOf = ({ names, commonName }: AskedNames) => {
    const title = commonName === undefined ? [] : [`cn:${commonName.toLowerCase()}`];
    return [...formatNames(names).sort(), ...title];
  };
  const spelt = textOf(asked);
  const wanted = textOf(current).filter(
    (each) => asked.names.spiffeId !== undefined || !each.startsWith('uri:'),
  );
  if (spelt.join('\n') === wanted.join('\n')) return undefined;
  const sides = `"${spelt.join('", "').slice(0, 500)}" is asked for, the certificate has "${wanted.join('", "').slice(0, 500)}"`;
  return denial('ERR_EST_NAMES', sides);
}

/** The names as an order writes them. */
export function writtenOf({ spiffeId, dns, ip }: CertificateNames) {
  return { spiffeId: spiffeId?.toString(), dns, ip };
}

function generalNameOf(commonName: string | undefined) {
  if (commonName === undefined) return [];
  const bytes = parseIpAddress(commonName);
  return bytes === undefined
    ? [{ kind: 'dns' as const, value: commonName }]
    : [{ kind: 'ip' as const, bytes }];
}
