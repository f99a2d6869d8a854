import type { GeneralName, GeneralNameKind } from '../general-name.ts';
import type { Name } from '../name.ts';
import { isNameWithin } from './compare-names.ts';
import {
  type HostPattern,
  hostOfUri,
  type Mailbox,
  parseHost,
  parseHostPattern,
  parseMailbox,
} from './name-syntax.ts';

/**
 * How names of one kind compare with constraints of that kind. `N` is a name and `B` a constraint,
 * parsed; undefined where malformed. `within`: the whole of the name lies inside; `overlaps`: some
 * of it may (they differ for wildcards).
 */
interface ConstraintKind<K extends GeneralNameKind, N, B> {
  parseName(name: Extract<GeneralName, { kind: K }>): N | undefined;
  parseBase(base: Extract<GeneralName, { kind: K }>): B | undefined;
  within(name: N, base: B): boolean;
  overlaps(name: N, base: B): boolean;
}

// RFC 5280 §4.2.1.10: host.example itself and whatever has labels added on its left
const dnsKind: ConstraintKind<'dns', HostPattern, string> = {
  parseName: (name) => parseHostPattern(name.value),
  // '' is everything; a leading dot is for URIs alone, and there are no wildcards
  parseBase: (base) => (base.value === '' ? '' : parseHost(base.value)),
  within: (name, base) => isHostWithin(name.parent ?? name.host, base),
  overlaps: (name, base) =>
    isHostWithin(name.parent ?? name.host, base) ||
    // *.example.com could be bar.example.com (CVE-2025-61727)
    (name.parent !== undefined &&
      name.parent === base.slice(base.indexOf('.') + 1) &&
      base.includes('.')),
};

interface MailScope {
  readonly mailbox: Mailbox | undefined;
  readonly hosts: HostScope | undefined;
}

// RFC 5280 §4.2.1.10: one mailbox, all of one host, or (leading dot) all of any host below
const emailKind: ConstraintKind<'email', Mailbox, MailScope> = {
  parseName: (name) => parseMailbox(name.value),
  parseBase({ value }) {
    if (!value.includes('@')) {
      const hosts = parseHostScope(value);
      return hosts === undefined ? undefined : { mailbox: undefined, hosts };
    }
    const mailbox = parseMailbox(value);
    return mailbox === undefined ? undefined : { mailbox, hosts: undefined };
  },
  within(name, base) {
    if (base.hosts !== undefined) return isInScope(name.host, base.hosts);
    return base.mailbox?.local === name.local && base.mailbox.host === name.host;
  },
  overlaps: (name, base) => emailKind.within(name, base),
};

// RFC 5280 §4.2.1.10: the host part alone; a URI without a host name cannot be compared
const uriKind: ConstraintKind<'uri', string, HostScope> = {
  parseName: (name) => hostOfUri(name.value),
  parseBase: (base) => parseHostScope(base.value),
  within: isInScope,
  overlaps: isInScope,
};

interface AddressRange {
  readonly address: Uint8Array;
  readonly mask: Uint8Array;
}

// RFC 5280 §4.2.1.10: address and mask, in the style of RFC 4632
const ipKind: ConstraintKind<'ip', Uint8Array, AddressRange> = {
  parseName: ({ bytes }) => ([4, 16].includes(bytes.byteLength) ? bytes : undefined),
  parseBase({ bytes }) {
    if (![8, 32].includes(bytes.byteLength)) return undefined;
    const half = bytes.byteLength / 2;
    const mask = bytes.subarray(half);
    return isPrefixMask(mask) ? { address: bytes.subarray(0, half), mask } : undefined;
  },
  within: (name, { address, mask }) =>
    name.byteLength === address.byteLength &&
    name.every((octet, i) => ((octet ^ (address[i] ?? 0)) & (mask[i] ?? 0)) === 0),
  overlaps: (name, base) => ipKind.within(name, base),
};

const directoryKind: ConstraintKind<'directory', Name, Name> = {
  parseName: ({ name }) => name,
  parseBase: ({ name }) => name,
  within: isNameWithin,
  overlaps: isNameWithin,
};

/**
 * Kinds that have no row cannot be compared: RFC 5280 §4.2.1.10 then has the certificate refused.
 */
const kinds = {
  dns: dnsKind,
  email: emailKind,
  uri: uriKind,
  ip: ipKind,
  directory: directoryKind,
};

/** The row of a kind, with its parsed values opaque to the caller. */
export function constraintKindOf(
  kind: GeneralNameKind,
): ConstraintKind<GeneralNameKind, unknown, unknown> | undefined {
  return (kinds as Partial<Record<GeneralNameKind, unknown>>)[kind] as
    | ConstraintKind<GeneralNameKind, unknown, unknown>
    | undefined;
}

interface HostScope {
  readonly host: string;
  readonly below: boolean;
}

/** `host` is that host alone, `.host` every host below it, '' all. */
function parseHostScope(text: string): HostScope | undefined {
  if (text === '') return { host: '', below: true };
  const below = text.startsWith('.');
  const host = parseHost(below ? text.slice(1) : text);
  return host === undefined ? undefined : { host, below };
}

function isInScope(host: string, scope: HostScope): boolean {
  if (!scope.below) return host === scope.host;
  return scope.host === '' || host.endsWith(`.${scope.host}`);
}

function isHostWithin(host: string, base: string): boolean {
  if (base === '' || host === base) return true;
  return (
    host.length > base.length && host.endsWith(base) && host[host.length - base.length - 1] === '.'
  );
}

function isPrefixMask(mask: Uint8Array): boolean {
  const bits = Array.from(mask, (octet) => octet.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits);
}
