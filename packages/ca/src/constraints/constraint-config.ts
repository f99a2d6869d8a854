import type { ConfigPath } from '@countersign/config';
import {
  type GeneralName,
  type GeneralSubtree,
  type NameConstraints,
  parseIpAddress,
  parseIpNetwork,
} from '@countersign/x509';
import type { Report } from '../ca-config-checks.ts';
import { parseDnsConstraint, parseDnsName } from '../dns-name.ts';
import { subjectName } from '../subject-name.ts';
import { covers } from './constraint-covers.ts';
import type { WrittenDirectory, WrittenNameConstraints, WrittenSide } from './constraint-schema.ts';
import { formatConstraint } from './name-constraints.ts';

type ReadName =
  | { readonly ok: true; readonly name: GeneralName }
  /** The end of a sentence that begins with what is written. */
  | { readonly ok: false; readonly wrong: string };

/** The meaning of `nameConstraints`, reported finding by finding. */
export function readNameConstraints(
  written: WrittenNameConstraints,
  path: ConfigPath,
  report: Report,
): NameConstraints {
  const read = (which: 'permitted' | 'excluded'): { base: GeneralName; at: ConfigPath }[] =>
    entriesOf(written[which] ?? [], [...path, which]).flatMap(({ entry, kind, at }) => {
      const name = readEntry(entry, kind);
      if (name.ok) return [{ base: name.name, at }];
      const text = typeof entry === 'string' ? `"${entry}"` : 'the directory name';
      report(at, `${at.join('.')}: ${text} ${name.wrong}`);
      return [];
    });
  const [permitted, excluded] = [read('permitted'), read('excluded')];
  for (const { base, at } of permitted) {
    const outer = excluded.find((each) => covers(each.base, base));
    if (outer === undefined) continue;
    const by = formatConstraint(outer.base);
    report(at, `${at.join('.')}: "${formatConstraint(base)}" is excluded again by "${by}"`);
  }
  return { permitted: permitted.map(bare), excluded: excluded.map(bare) };
}

function bare({ base }: GeneralSubtree): GeneralSubtree {
  return { base };
}

type Kind = 'dns' | 'uri' | 'ip' | 'email' | 'directory';

interface Entry {
  readonly entry: string | WrittenDirectory;
  /** Undefined: what is written says it. */
  readonly kind: Kind | undefined;
  readonly at: ConfigPath;
}

const kindOfList: Readonly<Record<keyof Exclude<WrittenSide, readonly unknown[]>, Kind>> = {
  dnsDomains: 'dns',
  uriDomains: 'uri',
  ipRanges: 'ip',
  emailAddresses: 'email',
  directoryNames: 'directory',
};

function entriesOf(written: WrittenSide, path: ConfigPath): Entry[] {
  if (Array.isArray(written)) {
    return written.map((item, index) =>
      typeof item === 'string'
        ? { entry: item, kind: undefined, at: [...path, index] }
        : { entry: item.directory, kind: 'directory', at: [...path, index] },
    );
  }
  return Object.entries(kindOfList).flatMap(([key, kind]) =>
    (written[key as keyof typeof kindOfList] ?? []).map((entry, index) => ({
      entry,
      kind,
      at: [...path, key, index],
    })),
  );
}

function readEntry(entry: Entry['entry'], kind: Kind | undefined): ReadName {
  if (typeof entry !== 'string') return readDirectory(entry);
  const prefix = /^(dns|uri|ip|email):/.exec(entry);
  const text = kind === undefined && prefix !== null ? entry.slice(prefix[0].length) : entry;
  const found = kind ?? (prefix?.[1] as keyof typeof readers | undefined) ?? kindOf(text);
  return readers[found as keyof typeof readers](text);
}

/** Of what is written without its kind: an address or network, a mail address, or a DNS name. */
function kindOf(text: string): keyof typeof readers {
  if (/^[\d.]+(\/\d+)?$/.test(text) || /^[\da-f:]*::?[\da-f:.]*(\/\d+)?$/i.test(text)) return 'ip';
  return text.includes('@') ? 'email' : 'dns';
}

const readers = {
  dns(text: string): ReadName {
    const read = parseDnsConstraint(text);
    return read.ok ? { ok: true, name: { kind: 'dns', value: read.name } } : read;
  },

  // RFC 5280 §4.2.1.10: the host part alone; with a leading dot every host below the domain.
  uri(text: string): ReadName {
    const value = readScope(text);
    if (value !== undefined) return { ok: true, name: { kind: 'uri', value } };
    return {
      ok: false,
      wrong: 'is no host such as example.com, and no domain such as .example.com',
    };
  },

  email(text: string): ReadName {
    const at = text.lastIndexOf('@');
    const scope = readScope(text.slice(at + 1));
    const isMailbox = at > 0 && scope?.startsWith('.') === false && /^[\x21-\x7e]+$/.test(text);
    if (scope === undefined || (at !== -1 && !isMailbox)) {
      const forms =
        'user@example.com, a host such as example.com, or a domain such as .example.com';
      return { ok: false, wrong: `is none of a mailbox such as ${forms}` };
    }
    const value = at === -1 ? scope : `${text.slice(0, at)}@${scope}`;
    return { ok: true, name: { kind: 'email', value } };
  },

  ip(text: string): ReadName {
    const address = parseIpAddress(text);
    const bytes =
      address === undefined
        ? parseIpNetwork(text)
        : Uint8Array.of(...address, ...address.map(() => 0xff));
    if (bytes !== undefined) return { ok: true, name: { kind: 'ip', bytes } };
    return { ok: false, wrong: 'is no IP address, and no network such as 10.0.0.0/8' };
  },
};

function readScope(text: string): string | undefined {
  const below = text.startsWith('.');
  const read = parseDnsName(below ? text.slice(1) : text);
  return read.ok ? `${below ? '.' : ''}${read.name}` : undefined;
}

function readDirectory(written: WrittenDirectory): ReadName {
  const name = subjectName({ ...written, country: written.country?.toUpperCase() });
  if (name.rdns.length > 0) return { ok: true, name: { kind: 'directory', name } };
  return { ok: false, wrong: 'has no attribute, and would be every name' };
}
