import { denial, equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { formatGeneralName, type GeneralName } from '../general-name.ts';
import { parseIpAddress } from '../ip-address.ts';
import { certificateText, shorten } from './certificate-text.ts';
import { isPreferredHost, parseHostPattern, parseMailbox } from './name-syntax.ts';
import type { ExpectedName, PathRefused } from './path-request.ts';

const mostNamesShown = 5;

/** Undefined where every expected name is among the certificate's alternative names. */
export function matchNames(
  certificate: Certificate,
  expected: readonly ExpectedName[],
): PathRefused | undefined {
  for (const name of expected) {
    const refused = matchName(certificate, name);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

function matchName(certificate: Certificate, expected: ExpectedName): PathRefused | undefined {
  const { kind, text, matcher } = prepare(expected);
  if (typeof matcher === 'string') {
    const detail = `expected name "${kind}:${shorten(text)}" is ${matcher}`;
    return denial('ERR_NAME_SYNTAX', detail, { expected: text });
  }
  // RFC 9525 §2: only subjectAltName counts, whatever the common name says
  if (certificate.subjectAltNames.some(matcher)) return undefined;
  const subject = certificateText(certificate);
  const present = certificate.subjectAltNames.map(formatGeneralName);
  const shown = present.slice(0, mostNamesShown).map((name) => `"${shorten(name)}"`);
  const more = present.length > shown.length ? ` and ${present.length - shown.length} more` : '';
  const names = present.length === 0 ? 'no names' : `${shown.join(', ')}${more}`;
  const detail = `certificate "${subject}" has ${names}, expected "${kind}:${shorten(text)}"`;
  const fields = { subject, expected: `${kind}:${text}`, present: present.slice(0, 100) };
  return { ...denial('ERR_NAME_MISMATCH', detail, fields), subject, depth: 0 };
}

type NameMatcher = (presented: GeneralName) => boolean;

/** `matcher` is a text where nothing can match: why. */
interface Prepared {
  readonly kind: string;
  readonly text: string;
  readonly matcher: NameMatcher | string;
}

function prepare(expected: ExpectedName): Prepared {
  if ('dns' in expected)
    return { kind: 'dns', text: expected.dns, matcher: dnsMatcher(expected.dns) };
  if ('ip' in expected) return { kind: 'ip', text: expected.ip, matcher: ipMatcher(expected.ip) };
  if ('email' in expected) {
    return { kind: 'email', text: expected.email, matcher: emailMatcher(expected.email) };
  }
  return { kind: 'spiffe', text: expected.spiffe, matcher: spiffeMatcher(expected.spiffe) };
}

// RFC 9525 §6.3, RFC 6125 §6.4
function dnsMatcher(text: string): NameMatcher | string {
  const host = text.toLowerCase().replace(/\.$/, '');
  if (!isPreferredHost(host)) {
    return 'no host name of letters, digits, hyphens and dots (other scripts are written xn--…)';
  }
  const afterFirstLabel = host.slice(host.indexOf('.') + 1);
  return (presented) => {
    if (presented.kind !== 'dns') return false;
    const pattern = parseHostPattern(presented.value);
    if (pattern === undefined) return false;
    if (pattern.parent === undefined) return pattern.host === host;
    return pattern.parent === afterFirstLabel && !isRegistrySuffix(pattern.parent);
  };
}

/**
 * A wildcard directly below a top-level domain, or below what most countries hand out names under,
 * spans strangers.
 */
function isRegistrySuffix(host: string): boolean {
  return !host.includes('.') || /^(?:ac|co|com|edu|gov|mil|net|org)\.[a-z]{2}$/.test(host);
}

function ipMatcher(text: string): NameMatcher | string {
  const bytes = parseIpAddress(text);
  if (bytes === undefined) return 'no IPv4 or IPv6 address';
  return (presented) => presented.kind === 'ip' && equalBytes(presented.bytes, bytes);
}

// RFC 5280 §7.5: the local part is compared exactly, the host without regard to case
function emailMatcher(text: string): NameMatcher | string {
  const mailbox = parseMailbox(text);
  if (mailbox === undefined) return 'no mailbox such as user@host.example';
  return (presented) => {
    if (presented.kind !== 'email') return false;
    const found = parseMailbox(presented.value);
    return found?.local === mailbox.local && found.host === mailbox.host;
  };
}

// SPIFFE X.509-SVID §2: one exact identifier; whether it is well-formed is for the SPIFFE profile
// to say
function spiffeMatcher(text: string): NameMatcher | string {
  if (!text.startsWith('spiffe://')) return 'no SPIFFE ID: it does not start with spiffe://';
  return (presented) => presented.kind === 'uri' && presented.value === text;
}
