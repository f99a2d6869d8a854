import type { Principal, StringMatcher } from '../envoy/rbac.ts';
import type { PeerNames, RuleFacts } from './rule-facts.ts';
import { type MatchesFacts, orIds, type RuleContext, type RuleField } from './rule-field.ts';
import {
  compileTexts,
  type MatchesText,
  quoteRegex,
  readTextMatch,
  stringMatcher,
} from './text-match.ts';
import { withAliasDomains, withAliases } from './trust-domains.ts';

const scheme = 'spiffe://';

export function principalsField(name: string): RuleField<Principal> {
  return identityField(name, {
    expand: (values, { trustDomains }) => withAliases(values, trustDomains),
    compile: compilePrincipals,
    envoy: (value) => {
      if (value === '*') return { safeRegex: { regex: '.+' } };
      if (value.startsWith('*')) {
        return { safeRegex: { regex: `${scheme}.*${quoteRegex(value.slice(1))}` } };
      }
      return stringMatcher(readTextMatch(`${scheme}${value}`));
    },
  });
}

export function namespacesField(name: string): RuleField<Principal> {
  return identityField(name, {
    compile: (values) => {
      const globs = values.map((value) => `/ns/${value}/`.split('*'));
      return (text) => globs.some((pieces) => hasInOrder(text, pieces));
    },
    envoy: (value) => ({
      safeRegex: { regex: `.*/ns/${value.split('*').map(quoteRegex).join('.*')}/.*` },
    }),
  });
}

export function trustDomainsField(name: string): RuleField<Principal> {
  return identityField(name, {
    expand: (values, { trustDomains }) => withAliasDomains(values, trustDomains),
    compile: (values) => {
      const prefixes = values.filter((value) => !value.includes('*')).map((v) => `${scheme}${v}/`);
      const patterns = values
        .filter((value) => value.includes('*') && value !== '*')
        .map((value) => new RegExp(`^${trustDomainRegex(value)}$`));
      const all = values.includes('*') ? [...prefixes, scheme] : prefixes;
      return (text) =>
        all.some((prefix) => text.startsWith(prefix)) ||
        patterns.some((pattern) => pattern.test(text));
    },
    envoy: (value) => {
      if (value === '*') return { prefix: scheme };
      if (!value.includes('*')) return { prefix: `${scheme}${value}/` };
      return { safeRegex: { regex: trustDomainRegex(value) } };
    },
  });
}

export function serviceAccountsField(name: string): RuleField<Principal> {
  return identityField(name, {
    compile: (values, { namespace }) => {
      const accounts = values.map((value) => accountOf(value, namespace));
      return (text) => accounts.some((account) => isAccount(text, account));
    },
    envoy: (value, { namespace }) => {
      const account = accountOf(value, namespace);
      const [ns, sa] = [quoteRegex(account.namespace), quoteRegex(account.name)];
      return { safeRegex: { regex: `spiffe://.+/ns/${ns}/(.+/|)sa/${sa}(/.+)?` } };
    },
  });
}

interface IdentityRow {
  expand?(values: readonly string[], context: RuleContext): readonly string[];
  compile(values: readonly string[], context: RuleContext): MatchesText;
  envoy(value: string, context: RuleContext): StringMatcher;
}

function identityField(name: string, row: IdentityRow): RuleField<Principal> {
  const expand = row.expand ?? ((values) => values);
  return {
    name,
    isHttpOnly: false,
    isOfRequest: false,
    compile: (values, context) => ofNames(row.compile(expand(values, context), context)),
    envoy: (values, context) =>
      orIds(
        expand(values, context).map((value) => ({
          authenticated: { principalName: row.envoy(value, context) },
        })),
      ),
    found: principalsOf,
  };
}

/** The URI names, then the DNS names, then the subject: one has to match. */
function ofNames(matches: MatchesText): MatchesFacts {
  return function matchesNames({ names }) {
    if (names === undefined) return false;
    for (const uri of names.uris) if (matches(uri)) return true;
    for (const dnsName of names.dnsNames) if (matches(dnsName)) return true;
    return matches(names.subject);
  };
}

function principalsOf({ names }: RuleFacts): readonly string[] {
  return names === undefined ? [] : shownNames(names);
}

/** As policies write them: SPIFFE IDs without the scheme. */
export function shownNames({ uris, dnsNames, subject }: PeerNames): readonly string[] {
  const shown = uris.map((uri) => (uri.startsWith(scheme) ? uri.slice(scheme.length) : uri));
  return [...shown, ...dnsNames, ...(subject === '' ? [] : [subject])];
}

function compilePrincipals(values: readonly string[]): MatchesText {
  const suffixes = values
    .filter((value) => value.startsWith('*') && value !== '*')
    .map((value) => value.slice(1));
  const others = compileTexts(
    values
      .filter((value) => value === '*' || !value.startsWith('*'))
      .map((value) => readTextMatch(value === '*' ? '*' : `${scheme}${value}`)),
  );
  if (suffixes.length === 0) return others;
  return (text) =>
    others(text) ||
    (text.startsWith(scheme) &&
      suffixes.some(
        (suffix) => text.length >= scheme.length + suffix.length && text.endsWith(suffix),
      ));
}

/** Whether the pieces occur one after the other, whatever is before, between and after them. */
function hasInOrder(text: string, pieces: readonly string[]): boolean {
  let from = 0;
  for (const piece of pieces) {
    const at = text.indexOf(piece, from);
    if (at === -1) return false;
    from = at + piece.length;
  }
  return true;
}

function trustDomainRegex(value: string): string {
  const star = value.indexOf('*');
  const [before, after] = [value.slice(0, star), value.slice(star + 1)];
  return `${scheme}${quoteRegex(before)}[^/]*${quoteRegex(after)}/.*`;
}

interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

function accountOf(value: string, policyNamespace: string): ServiceAccount {
  const slash = value.indexOf('/');
  if (slash === -1) return { namespace: policyNamespace, name: value };
  return { namespace: value.slice(0, slash), name: value.slice(slash + 1) };
}

/**
 * `spiffe://<any>/ns/<namespace>/[<any>/]sa/<name>[/<any>]`, without a regular expression: three wildcards over what a
 * peer's certificate says would cost the cube of its length.
 */
function isAccount(text: string, { namespace, name }: ServiceAccount): boolean {
  if (!text.startsWith(scheme)) return false;
  const head = `/ns/${namespace}/`;
  const at = text.indexOf(head, scheme.length + 1);
  if (at === -1) return false;
  const start = at + head.length;
  const tail = `sa/${name}`;
  for (let i = text.indexOf(tail, start); i !== -1; i = text.indexOf(tail, i + 1)) {
    const begins = i === start || (text[i - 1] === '/' && i - 1 > start);
    const end = i + tail.length;
    const ends = end === text.length || (text[end] === '/' && end + 1 < text.length);
    if (begins && ends) return true;
  }
  return false;
}
