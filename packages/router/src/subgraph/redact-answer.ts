import type { ResponseError, SubgraphAnswer } from '../execute/response-error.ts';

/**
 * An answer whose errors say where and by what code, and nothing that a subgraph wrote: what it wrote is for the operator,
 * who finds it by the id.
 *
 * @param report tells the operator; gives the id
 */
export function redactAnswer(
  answer: SubgraphAnswer,
  report: (errors: readonly ResponseError[]) => string,
): SubgraphAnswer {
  if (answer.errors.length === 0) return answer;
  const id = report(answer.errors.slice(0, maxReported));
  const errors = answer.errors.map(({ path, extensions }) => {
    const told = extensions?.code;
    const isWord = typeof told === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(told);
    const code = isWord ? told : 'ERR_SUBGRAPH_RESPONSE';
    return { message: 'a subgraph answered with an error', path, extensions: { code, id } };
  });
  return { ...answer, errors };
}

/** Errors of one answer that the operator is told. */
const maxReported = 20;
