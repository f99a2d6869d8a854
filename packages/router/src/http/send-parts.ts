import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AnswerPart, PartFormat } from '../defer/deliver-parts.ts';
import type { Asking } from '../router-engine.ts';
import { tellOperation, watchOperation } from '../telemetry/tell-operation.ts';
import { answerRefusal, type HandlingSurroundings, tooLarge } from './handle-graphql.ts';
import type { OperationParameters } from './read-request.ts';

/** No JSON has a line that is this. */
const boundary = '-';

/**
 * Answers an operation that defers some of it part by part (GraphQL over HTTP, incremental delivery). What is not
 * deferred, or would not run, is left to the usual way.
 *
 * @returns whether it is answered
 */
export async function sendParts(
  around: HandlingSurroundings,
  request: IncomingMessage,
  response: ServerResponse,
  parameters: OperationParameters,
  asking: Asking,
  format: PartFormat,
): Promise<boolean> {
  const { config } = around;
  const found = around.operations.find(parameters);
  if (!found.ok) return false;
  const { operationName, variables } = parameters;
  const asked = { query: found.query, operationName, variables };
  const engine = around.engine();
  if (request.method === 'GET') {
    const { preparer } = engine;
    const known = await preparer.prepare(found.query, operationName, asking.caller);
    // GraphQL over HTTP §5.5: GET must not change anything, which the usual way says.
    if (!known.ok || known.kind === 'mutation') return false;
  }
  const watch = watchOperation(around, asking, 'http');
  const answer = await engine.inParts(asked, { ...asking, watch }, format);
  if (answer === undefined) return false;
  if (!answer.ok) {
    const prepared = undefined;
    tellOperation(around, asking, { watch, prepared, operationName, refusal: answer, errors: 1 });
    answerRefusal(response, { ...answer, status: 400 }, 'application/json');
    return true;
  }
  const { prepared, parts } = answer;
  const sent = await writeParts(response, parts, format, asking, config.limits.max_response_bytes);
  const { errors, ...fields } = sent;
  const refusal = undefined;
  tellOperation(around, asking, { watch, prepared, operationName, refusal, errors, fields });
  return true;
}

/** Each part is whole for the caller once it came, whatever comes after it: the next boundary comes with it. */
async function writeParts(
  response: ServerResponse,
  parts: AsyncGenerator<AnswerPart>,
  format: PartFormat,
  { signal }: Asking,
  maxBytes: number,
): Promise<{ readonly parts: number; readonly errors: number; readonly isWhole: boolean }> {
  let count = 0;
  let bytes = 0;
  let errors = 0;
  const broken = () => {
    response.destroy();
    return { parts: count, errors, isWhole: false };
  };
  try {
    for await (const part of parts) {
      if (response.destroyed) return broken();
      const text = JSON.stringify(part);
      const length = Buffer.byteLength(text);
      bytes += length;
      if (bytes > maxBytes) {
        // What was begun cannot be taken back, only broken off.
        if (count > 0) return broken();
        answerRefusal(response, tooLarge(maxBytes), 'application/json');
        return { parts: 0, errors: 1, isWhole: false };
      }
      if (count === 0) {
        response.writeHead(200, {
          'content-type': `multipart/mixed; boundary="${boundary}"; ${format}`,
          'cache-control': 'no-store',
          'x-accel-buffering': 'no',
        });
      }
      count += 1;
      errors += countErrors(part);
      const begin = count === 1 ? `--${boundary}` : '';
      const end = part.hasNext === false ? `\r\n--${boundary}--\r\n` : `\r\n--${boundary}`;
      const head = `content-type: application/json; charset=utf-8\r\ncontent-length: ${length}`;
      const isTaken = response.write(`${begin}\r\n${head}\r\n\r\n${text}${end}`);
      if (!isTaken) await once(response, 'drain', { signal }).catch(() => {});
    }
  } catch (thrown) {
    if (signal.aborted) return broken();
    throw thrown;
  }
  response.end();
  return { parts: count, errors, isWhole: true };
}

function countErrors({ errors, incremental, completed }: AnswerPart): number {
  const of = (value: unknown) => (Array.isArray(value) ? value.length : 0);
  const entries = [incremental, completed].flatMap((each) =>
    Array.isArray(each) ? (each as AnswerPart[]) : [],
  );
  return entries.reduce((sum, each) => sum + of(each.errors), of(errors));
}
