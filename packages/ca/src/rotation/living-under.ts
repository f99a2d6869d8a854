import { issuerNameOf } from './certify-generation.ts';
import { rootName } from './hierarchy-view.ts';
import { type Living, livingUnder } from './measure-uptake.ts';
import type { RotationContext } from './rotation-context.ts';
import { configNameOf, type Generation, ledgerNameOf, type Span } from './rotation-document.ts';

/**
 * Certificates in use whose chain, as it was given with them, ends at a generation or goes through it; and of a root, join
 * tokens that pin it, for each pins the root that signed when it was made. For one below, that
 * follows from when it was issued; at the edges of that time either generation may be meant, and both are.
 */
export function livingUnderGeneration(
  generation: Generation,
  context: RotationContext,
): Promise<Living> {
  const { ledger, config, settleMs } = context;
  const own = ledgerNameOf(generation);
  const signedThen = (at: number) => generation.spans.some((span) => isWithin(at, span, settleMs));
  return livingUnder(
    ledger,
    config.trustDomain,
    function leadsToIt({ issuer, at }) {
      if (issuer === own) return true;
      return isBelow(configNameOf(issuer), generation.name, context) && signedThen(at);
    },
    ({ at }) => generation.name === rootName && signedThen(at),
  );
}

function isWithin(at: number, { from, to }: Span, settleMs: number): boolean {
  return at >= from - settleMs && (to === undefined || at <= to + settleMs);
}

function isBelow(name: string, above: string, { config }: RotationContext): boolean {
  for (let at = name; at !== rootName; ) {
    at = issuerNameOf(at, config);
    if (at === above) return true;
  }
  return false;
}
