import { type Certificate, oids } from '@countersign/x509';
import type { CaConfig, IntermediateConfig } from '../ca-config.ts';
import { type AuthorityDraftFacts, type Draft, draftRoot } from '../draft.ts';
import { draftBelow } from '../hierarchy.ts';

/**
 * The draft of what a root signs: itself, another root, or an intermediate. Whoever signs it and whoever asked for it come
 * to the same, each by its own ca.yaml.
 *
 * @param name `root`, or that of an intermediate right below
 * @param issuing the certificate of the root that signs; undefined for its own
 */
export function draftByRoot(
  name: string,
  facts: AuthorityDraftFacts,
  issuing: Certificate | undefined,
  config: CaConfig,
): Draft {
  if (issuing === undefined) return draftRoot(config.root, facts);
  const level = name === 'root' ? linkConfig(config) : levelOf(name, config);
  const issuer = { name: 'root', certificate: issuing, links: [] };
  const draft = draftBelow(level, facts, issuer, config);
  return { ...draft, notBefore: Math.max(draft.notBefore, issuing.notBefore) };
}

/**
 * A root by another one. Both have one name, so that it is self-issued and counts in no path length
 * (RFC 5280 §6.1.4 (l)).
 */
export function linkConfig({ root, intermediates }: CaConfig): IntermediateConfig {
  const asserts = intermediates.some(({ policies }) => policies.length > 0);
  return {
    ...root,
    name: 'root',
    issuer: 'root',
    signsServices: false,
    constraints: { permitted: [], excluded: [] },
    // Below it the policies of every intermediate are to hold as they do below a root.
    policies: asserts ? [oids.anyPolicy] : [],
    profile: undefined,
  };
}

function levelOf(name: string, { intermediates }: CaConfig): IntermediateConfig {
  const found = intermediates.find((each) => each.name === name);
  if (found === undefined) throw new TypeError(`an intermediate "${name}"`);
  return found;
}
