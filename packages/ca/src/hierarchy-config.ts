import { formatDuration, nearestWord } from '@countersign/base';
import type { ConfigPath } from '@countersign/config';
import { type KeyKind, type NameConstraints, oids } from '@countersign/x509';
import type {
  AuthorityCertificateConfig,
  IntermediateConfig,
  RootConfig,
  SubjectConfig,
} from './ca-config.ts';
import type { Report } from './ca-config-checks.ts';
import type { WrittenAuthority, WrittenIntermediate, WrittenRoot } from './ca-config-schema.ts';
import { readNameConstraints } from './constraints/constraint-config.ts';
import { linksAgainst } from './constraints/name-constraints.ts';
import { quotedList } from './dns-name.ts';
import { keyKindFromConfig } from './key-kind-config.ts';
import { readOids } from './profile/profile-config.ts';
import type { StorageReader } from './storages-of-config.ts';
import { subjectName } from './subject-name.ts';

export interface HierarchyConfig {
  readonly root: RootConfig;
  /** In file order. */
  readonly intermediates: readonly IntermediateConfig[];
}

interface HierarchyContext {
  readonly trustDomain: string;
  readonly storageOf: StorageReader;
  readonly report: Report;
}

const day = 24 * 3_600_000;
const defaultValidity = { root: 3650 * day, intermediate: 365 * day } as const;
const shortestAuthorityMs = 60_000;
const rootName = 'root';

const ec384: KeyKind = { type: 'EC', curve: 'P-384' };
const ec256: KeyKind = { type: 'EC', curve: 'P-256' };

type WrittenIntermediates = Readonly<Record<string, WrittenIntermediate | null>>;

/** The meaning of `ca.root` and `ca.intermediate`, with every check from one level to the next. */
export function interpretHierarchy(
  written: {
    readonly root?: WrittenRoot | null | undefined;
    readonly intermediate?: WrittenIntermediates | null | undefined;
  },
  context: HierarchyContext,
): HierarchyConfig {
  const named = Object.entries(written.intermediate ?? {});
  const chosen: readonly [string, WrittenIntermediate][] =
    named.length === 0 ? [['services', {}]] : named.map(([name, value]) => [name, value ?? {}]);
  const issuers = readIssuers(chosen, context);

  // From below: an authority's path length follows from what is below it.
  const pathLens = new Map<string, number>();
  const pathLenOf = (name: string): number => {
    const known = pathLens.get(name);
    if (known !== undefined) return known;
    const own = name === rootName ? written.root : written.intermediate?.[name];
    const found = readPathLen(name, own?.pathLenConstraint, issuers, { pathLenOf, ...context });
    pathLens.set(name, found);
    return found;
  };

  const root: RootConfig = {
    ...readAuthority(written.root ?? {}, ['ca', 'root'], context, {
      key: ec384,
      validityMs: defaultValidity.root,
      pathLen: pathLenOf(rootName),
      commonName: commonNameFor(context.trustDomain, rootName),
    }),
    ...(written.root?.signs_services === true && { signsServices: true }),
  };
  if (root.signsServices === true && named.length > 0) {
    const sides = 'ca.root.signs_services goes without intermediates of the file';
    context.report(['ca', 'root', 'signs_services'], `${sides}, found "${named[0]?.[0]}"`);
  }

  // From above: nothing outlives its issuer, or has names that it does not admit.
  const done = new Map<string, IntermediateConfig>();
  const read = (name: string, own: WrittenIntermediate): IntermediateConfig => {
    const known = done.get(name);
    if (known !== undefined) return known;
    const issuerName = issuers.get(name) ?? rootName;
    const above =
      issuerName === rootName
        ? undefined
        : read(issuerName, written.intermediate?.[issuerName] ?? {});
    const signsServices = ![...issuers.values()].includes(name);
    const facts = { issuer: issuerName, signsServices, pathLen: pathLenOf(name) };
    const found = readIntermediate(name, own, { ...facts, above, root }, context);
    done.set(name, found);
    return found;
  };
  const intermediates = chosen.map(([name, own]) => read(name, own));
  checkSubjects(root, intermediates, context);
  return { root, intermediates };
}

/** The constraints of an intermediate and of every one above it. */
export function linksOf(
  name: string,
  intermediates: readonly IntermediateConfig[],
): NameConstraints[] {
  const found = intermediates.find((each) => each.name === name);
  return found === undefined ? [] : [found.constraints, ...linksOf(found.issuer, intermediates)];
}

/** Authorities before those that they issue. */
export function fromTheTop(
  intermediates: readonly IntermediateConfig[],
): readonly IntermediateConfig[] {
  const depth = (name: string): number => {
    const found = intermediates.find((each) => each.name === name);
    return found === undefined ? 0 : 1 + depth(found.issuer);
  };
  return intermediates.toSorted((a, b) => depth(a.name) - depth(b.name));
}

/** Whether certificates below an authority that asserts `own` may assert `asked` (RFC 5280 §6.1.3 (d)). */
export function assertsPolicies(own: readonly string[], asked: readonly string[]): boolean {
  return own.includes(oids.anyPolicy) || asked.every((each) => own.includes(each));
}

/** Which authority issues each intermediate; one that goes in a circle is reported, and taken for the root's. */
function readIssuers(
  chosen: readonly (readonly [string, WrittenIntermediate])[],
  { report }: HierarchyContext,
): ReadonlyMap<string, string> {
  const names = chosen.map(([name]) => name);
  const issuers = new Map<string, string>();
  for (const [name, { issuer = rootName }] of chosen) {
    const path = ['ca', 'intermediate', name, 'issuer'];
    const isKnown = issuer === rootName || names.includes(issuer);
    if (!isKnown) {
      const nearest = nearestWord(issuer, [rootName, ...names]);
      const then =
        nearest === undefined
          ? `there is ${quotedList([rootName, ...names])}`
          : `the nearest is "${nearest}"`;
      report(path, `${path.join('.')}: no authority is called "${issuer}", ${then}`);
    }
    issuers.set(name, isKnown ? issuer : rootName);
  }
  for (const name of names) {
    const seen = [name];
    for (let next = issuers.get(name); next !== undefined; next = issuers.get(next)) {
      if (!seen.includes(next)) {
        seen.push(next);
        continue;
      }
      const path = ['ca', 'intermediate', name, 'issuer'];
      report(
        path,
        `${path.join('.')}: ${quotedList([...seen, next])} issue each other in a circle`,
      );
      issuers.set(name, rootName);
      break;
    }
  }
  return issuers;
}

// RFC 5280 §4.2.1.9: the number of intermediates that may follow; each below follows, then those it allows itself.
function readPathLen(
  name: string,
  written: number | undefined,
  issuers: ReadonlyMap<string, string>,
  { pathLenOf, report }: HierarchyContext & { readonly pathLenOf: (name: string) => number },
): number {
  const below = [...issuers].filter(([, issuer]) => issuer === name).map(([each]) => each);
  const needed = Math.max(-1, ...below.map(pathLenOf)) + 1;
  if (written === undefined || written >= needed) return written ?? needed;
  const path = name === rootName ? ['ca', 'root'] : ['ca', 'intermediate', name];
  const deepest = below.find((each) => pathLenOf(each) + 1 > written);
  const need = `intermediate "${deepest}" with ${pathLenOf(deepest ?? '')} below it needs at least ${pathLenOf(deepest ?? '') + 1}`;
  const at = [...path, 'pathLenConstraint'];
  report(at, `${at.join('.')}: ${need}, found ${written}`);
  return written;
}

interface IntermediateFacts {
  readonly issuer: string;
  readonly signsServices: boolean;
  readonly pathLen: number;
  /** Undefined for those below the root. */
  readonly above: IntermediateConfig | undefined;
  readonly root: RootConfig;
}

function readIntermediate(
  name: string,
  written: WrittenIntermediate,
  facts: IntermediateFacts,
  context: HierarchyContext,
): IntermediateConfig {
  const { trustDomain, report } = context;
  const { issuer, signsServices, pathLen, above, root } = facts;
  const path = ['ca', 'intermediate', name];
  // It names files, and JavaScript would move keys that look like numbers to the front.
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(name) || name === rootName) {
    const form = 'letters, digits, "-" and "_" after a letter, 40 at most, and not "root"';
    report(path, `intermediate name "${name}" is not made of ${form}`, { which: 'key' });
  }
  const authority = readAuthority(written, path, context, {
    key: ec256,
    validityMs: defaultValidity.intermediate,
    pathLen,
    commonName: commonNameFor(trustDomain, name),
  });
  const policies = readOids(written.policies ?? [], [...path, 'policies'], report);
  const found: IntermediateConfig = {
    name,
    issuer,
    signsServices,
    ...authority,
    validityMs: boundValidity(authority, written, path, above ?? root, issuer, report),
    constraints: readNameConstraints(
      written.nameConstraints ?? {},
      [...path, 'nameConstraints'],
      report,
    ),
    policies,
    profile: written.profile,
  };
  checkOwnNames(found, above, path, context);
  const isIssuerSilent = above !== undefined && !assertsPolicies(above.policies, policies);
  if (isIssuerSilent) {
    const asserted = above.policies.length === 0 ? 'none' : quotedList(above.policies);
    const at = [...path, 'policies'];
    report(at, `${at.join('.')}: its issuer "${issuer}" asserts ${asserted}`);
  }
  if (!signsServices && written.profile != null) {
    const at = [...path, 'profile'];
    report(at, `${at.join('.')}: "${name}" issues intermediates, which have no profile`);
  }
  return found;
}

/** Where the file gives no validity, the issuer's own is the bound; where it does, more than the issuer's is an error. */
function boundValidity(
  { validityMs }: AuthorityCertificateConfig,
  written: WrittenIntermediate,
  path: ConfigPath,
  issuer: AuthorityCertificateConfig,
  issuerName: string,
  report: Report,
): number {
  if (validityMs <= issuer.validityMs || written.validity === undefined) {
    return Math.min(validityMs, issuer.validityMs);
  }
  const at = [...path, 'validity'];
  const whose = issuerName === rootName ? "the root's" : `that of its issuer "${issuerName}",`;
  const sides = `${formatDuration(validityMs)} is longer than ${whose} ${formatDuration(issuer.validityMs)}`;
  report(at, `${at.join('.')}: ${sides}`);
  return validityMs;
}

/** The names of the hierarchy's own certificates must pass its constraints, too. */
function checkOwnNames(
  { name, subject, constraints }: IntermediateConfig,
  above: IntermediateConfig | undefined,
  path: ConfigPath,
  { trustDomain, report }: HierarchyContext,
): void {
  const uri = { kind: 'uri', value: `spiffe://${trustDomain}` } as const;
  const own = linksAgainst([constraints], uri);
  if (own !== undefined) {
    const at = [...path, 'nameConstraints'];
    report(at, `${at.join('.')}: "${name}" ${own}, and every identity is of "${trustDomain}"`);
  }
  if (above === undefined) return;
  const directory = { kind: 'directory', name: subjectName(subject) } as const;
  const against = linksAgainst([above.constraints], directory);
  if (against === undefined) return;
  report(path, `${path.join('.')}: its issuer "${above.name}" ${against}, its subject is another`, {
    which: 'key',
  });
}

function checkSubjects(
  root: RootConfig,
  intermediates: readonly IntermediateConfig[],
  { report }: HierarchyContext,
): void {
  const taken = new Map([[subjectKey(root), rootName]]);
  for (const each of intermediates) {
    const other = taken.get(subjectKey(each));
    taken.set(subjectKey(each), each.name);
    if (other === undefined) continue;
    const path = ['ca', 'intermediate', each.name];
    const sides = `has the same subject as "${other}", relying parties tell authorities by it`;
    report(path, `${path.join('.')}: ${sides}`, { which: 'key' });
  }
}

function subjectKey({ subject }: AuthorityCertificateConfig): string {
  return JSON.stringify(Object.entries(subject).filter(([, value]) => value !== undefined));
}

function readAuthority(
  written: WrittenAuthority,
  path: ConfigPath,
  { storageOf, report }: HierarchyContext,
  defaults: Omit<AuthorityCertificateConfig, 'subject' | 'storage'> & {
    readonly commonName: string;
  },
): AuthorityCertificateConfig {
  const key = keyKindFromConfig(written, defaults.key);
  if ('finding' in key) {
    const at = [...path, key.finding.key];
    report(at, `${at.join('.')}: ${key.finding.message}`, { code: key.finding.code });
  }
  const validityMs = written.validity ?? defaults.validityMs;
  if (validityMs < shortestAuthorityMs) {
    const at = [...path, 'validity'];
    report(at, `${at.join('.')}: expected at least 1m, found ${formatDuration(validityMs)}`);
  }
  if (written.commonName !== undefined && written.subject?.commonName !== undefined) {
    report([...path, 'commonName'], `${path.join('.')} has commonName twice`, { which: 'key' });
  }
  const subject: SubjectConfig = {
    ...written.subject,
    country: written.subject?.country?.toUpperCase(),
    commonName: written.commonName ?? written.subject?.commonName ?? defaults.commonName,
  };
  return {
    subject,
    key: 'kind' in key ? key.kind : defaults.key,
    validityMs,
    pathLen: defaults.pathLen,
    storage: storageOf(written, path),
  };
}

/** At most 64 characters (RFC 5280, ub-common-name): of a longer trust domain its beginning. */
function commonNameFor(trustDomain: string, role: string): string {
  return `${trustDomain.slice(0, 63 - role.length)} ${role}`;
}
