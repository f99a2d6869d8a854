import type { MetadataMatcher, Principal, ValueMatcher } from '../envoy/rbac.ts';
import {
  claimAt,
  compileClaimValues,
  listOrText,
  matchesClaim,
  shownClaim,
  textValue,
} from './claim-match.ts';
import type { RuleFacts } from './rule-facts.ts';
import type { RuleField } from './rule-field.ts';
import {
  compileTexts,
  type MatchesText,
  readTextMatch,
  stringMatcher,
  type TextMatch,
} from './text-match.ts';

/** Where Envoy's filter leaves the claims of a verified token. */
export const tokenFilter = 'envoy.filters.http.jwt_authn';
const payloadKey = 'payload';

/** `<issuer>/<subject>`; an issuer may have slashes, a subject has none. */
export function requestPrincipalsField(name: string): RuleField<Principal> {
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const pairs = values.map((value) => {
        const { issuer, subject } = readRequestPrincipal(value);
        return { issuer: compileTexts([issuer]), subject: compileTexts([subject]) };
      });
      return ({ request }) => {
        const { iss, sub } = request?.claims ?? {};
        return pairs.some(({ issuer, subject }) => isText(iss, issuer) && isText(sub, subject));
      };
    },
    envoy(values) {
      const ids = values.map((value): Principal => {
        const { issuer, subject } = readRequestPrincipal(value);
        const claim = (key: string, match: TextMatch): Principal => ({
          metadata: inPayload([key], textValue(stringMatcher(match))),
        });
        return { andIds: { ids: [claim('iss', issuer), claim('sub', subject)] } };
      });
      const [only] = ids;
      return ids.length > 1 ? { orIds: { ids } } : only;
    },
    found({ request }) {
      const { iss, sub } = request?.claims ?? {};
      return typeof iss === 'string' && typeof sub === 'string' ? [`${iss}/${sub}`] : [];
    },
  };
}

/** A claim by its path: a text, or a list of texts. */
export function claimField(name: string, path: readonly string[]): RuleField<Principal> {
  const claimOf = ({ request }: RuleFacts) => claimAt(request?.claims, path);
  return {
    name,
    isHttpOnly: true,
    isOfRequest: true,
    compile(values) {
      const matches = compileClaimValues(values);
      return (facts) => matchesClaim(claimOf(facts), matches);
    },
    envoy: (values) => ({ metadata: inPayload(path, listOrText(values)) }),
    found: (facts) => shownClaim(claimOf(facts)),
  };
}

function inPayload(path: readonly string[], value: ValueMatcher): MetadataMatcher {
  return { filter: tokenFilter, path: [payloadKey, ...path].map((key) => ({ key })), value };
}

function isText(value: unknown, matches: MatchesText): boolean {
  return typeof value === 'string' && matches(value);
}

const any: TextMatch = { kind: 'present', text: '' };

function readRequestPrincipal(value: string): { issuer: TextMatch; subject: TextMatch } {
  const exact = (text: string): TextMatch => ({ kind: 'exact', text });
  const slash = value.lastIndexOf('/');
  const hasBoth = slash !== -1;
  const [issuer, subject] = hasBoth ? [value.slice(0, slash), value.slice(slash + 1)] : [value, ''];
  if (value === '*') return { issuer: any, subject: any };
  if (value.startsWith('*')) {
    if (!hasBoth) return { issuer: any, subject: readTextMatch(value) };
    return { issuer: readTextMatch(issuer), subject: exact(subject) };
  }
  if (value.endsWith('*')) {
    if (!hasBoth) return { issuer: readTextMatch(value), subject: any };
    if (subject === '*') return { issuer: exact(issuer), subject: any };
    return { issuer: exact(issuer), subject: { kind: 'prefix', text: subject.slice(0, -1) } };
  }
  return { issuer: exact(issuer), subject: exact(subject) };
}
