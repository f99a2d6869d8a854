import type { ExplainedRefusal, IssueExplanation } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { ExitWith } from '../verb.ts';

/** Prints the policy's answer. @throws ExitWith 1 where it denies */
export async function tellExplanation(
  cli: Cli,
  explanation: IssueExplanation,
  output: string,
): Promise<void> {
  await cli.out(output === 'json' ? json(explanation) : text(explanation));
  if (explanation.decision === 'deny') throw new ExitWith(1);
}

function text({ certificate, names, refusals }: IssueExplanation): string {
  if (certificate !== undefined) {
    const { issuer, profile, notBefore, notAfter } = certificate;
    const span = `${formatRfc3339(notBefore)} to ${formatRfc3339(notAfter)}`;
    return `allow: intermediate "${issuer}", profile "${profile}", ${span}\n  ${names.join('\n  ')}\n`;
  }
  const joined = refusals.length === 1 ? '' : ', all of these';
  return `deny: it would pass if${joined}\n${refusals.map(refusalText).join('')}`;
}

function refusalText({ code, detail, passIf, closest }: ExplainedRefusal): string {
  const clauses = (closest?.clauses ?? []).map(
    (each) => `      ${each.ok ? 'yes' : 'no '}  ${each.clause}: ${each.detail}\n`,
  );
  const head = closest === undefined ? '' : `    "${closest.name}", clause by clause:\n`;
  return `  - ${passIf}\n    ${code}: ${detail}\n${head}${clauses.join('')}`;
}

function json({ certificate, ...explanation }: IssueExplanation): string {
  const facts = {
    ...explanation,
    ...(certificate !== undefined && {
      certificate: {
        ...certificate,
        notBefore: formatRfc3339(certificate.notBefore),
        notAfter: formatRfc3339(certificate.notAfter),
      },
    }),
  };
  return `${JSON.stringify(facts, null, 2)}\n`;
}
