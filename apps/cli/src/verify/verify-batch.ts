import { SignatureCache, validatePath } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { failureOf } from '../report-error.ts';
import { type InputLine, inputLines } from './input-lines.ts';
import { CertificateCache, readVerifyRequest, refused } from './verify-request.ts';

const maxLineBytes = 32 * 1024 * 1024;

/** What is written for each line that is read, in the same order. */
interface Answer {
  /** As the request gave it; null where it gave none or could not be read. */
  readonly id: unknown;
  readonly ok: boolean;
  /** The code of the first rule that failed; null for a chain that is accepted. */
  readonly code: string | null;
  readonly detail: string | null;
}

/** Answers requests, one JSON object a line, until the input ends. A bad line is answered, and stops nothing. */
export async function verifyBatch(cli: Cli): Promise<void> {
  const cache = new CertificateCache();
  const signatures = new SignatureCache();
  for await (const lines of inputLines(cli.stdin, maxLineBytes)) {
    const answers = lines.map((line) =>
      JSON.stringify(answer(line, cache, signatures, cli.clock.now())),
    );
    await cli.out(`${answers.join('\n')}\n`);
  }
}

function answer(
  line: InputLine,
  cache: CertificateCache,
  signatures: SignatureCache,
  now: number,
): Answer {
  let id: unknown = null;
  try {
    if ('tooLong' in line) throw refused(`the line is longer than ${maxLineBytes} bytes`);
    const request = parseJson(line.text);
    id = idOf(request);
    const { question, passedOver } = readVerifyRequest(request, cache, now);
    const result = validatePath({ ...question, signatures });
    if (result.ok) return { id, ok: true, code: null, detail: null };
    return { id, ok: false, code: result.code, detail: detailOf(result.detail, passedOver) };
  } catch (thrown) {
    const failure = failureOf(thrown);
    return { id, ok: false, code: failure.code, detail: failure.message };
  }
}

function detailOf(detail: string, [first, ...others]: readonly string[]): string {
  if (first === undefined) return detail;
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return `${detail}; passed over: ${first}${more}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refused('the line is no JSON');
  }
}

function idOf(request: unknown): unknown {
  if (typeof request !== 'object' || request === null || !('id' in request)) return null;
  return request.id;
}
