import { CountersignError, messageOf } from '@countersign/base';
import { composeServices } from '@theguild/federation-composition';
import { type DocumentNode, parse, print } from 'graphql';
import { liftRules, putRules, readRules } from './access-rules.ts';

export interface SubgraphSdl {
  readonly name: string;
  readonly url: string;
  readonly sdl: string;
  /** Where it was read, for messages. */
  readonly from: string;
}

/**
 * The supergraph of these subgraphs, Federation 1 or 2; `@allow` and `@deny` are kept, whether or not a subgraph
 * declares them. The only file that knows the composition's API.
 *
 * @throws CountersignError ERR_ROUTER_SUPERGRAPH with every reason
 */
export function composeSupergraph(subgraphs: readonly SubgraphSdl[]): string {
  const read = subgraphs.map((subgraph) => {
    const document = parseSdl(subgraph);
    // Told here, where it is known whose rule is wrong.
    readRules(document, subgraph.from);
    return { ...subgraph, ...liftRules(document) };
  });
  const result = composeServices(
    read.map(({ name, url, document }) => ({ name, url, typeDefs: document })),
  );
  if (result.supergraphSdl === undefined) {
    const reasons = result.errors.map(({ message }) => message);
    throw new CountersignError(
      'ERR_ROUTER_SUPERGRAPH',
      `compose the supergraph: ${reasons.slice(0, 20).join('; ')}`,
      { fields: { reasons } },
    );
  }
  const rules = read.flatMap((each) => each.rules);
  if (rules.length === 0) return result.supergraphSdl;
  return print(putRules(parse(result.supergraphSdl, { noLocation: true }), rules));
}

function parseSdl({ sdl, from }: SubgraphSdl): DocumentNode {
  try {
    return parse(sdl, { noLocation: true });
  } catch (thrown) {
    const at = (thrown as { locations?: readonly { line: number; column: number }[] })
      .locations?.[0];
    const where = at === undefined ? from : `${from}:${at.line}:${at.column}`;
    throw new CountersignError('ERR_ROUTER_SUPERGRAPH', `${where}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}
