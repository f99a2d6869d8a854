import { CountersignError, type Denial, errorOfDenial } from '@countersign/base';
import type { RevokeResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { asOperator } from '../state/open-state.ts';
import type { StateOptions } from '../state/state-options.ts';

/** Revokes every certificate of these keys up to now, reason keyCompromise; or says what that would cover. */
export async function revokeKeys(
  cli: Cli,
  options: StateOptions,
  keys: readonly string[],
  dryRun: boolean,
): Promise<RevokeResponse[]> {
  const orders = keys.map((value) => ({
    ...({ by: 'key', value, reason: 'keyCompromise', block: false, dryRun } as const),
  }));
  return asOperator(cli, options, {
    async server(client) {
      const answers: RevokeResponse[] = [];
      for (const order of orders) answers.push(await client.revoke(order));
      return answers;
    },
    async state(authority) {
      const answers: RevokeResponse[] = [];
      for (const order of orders) {
        const answer = await authority.revoke({ waitMs: 0, ...order }, { kind: 'operator' });
        if (!answer.ok) throw errorOfDenial(answer as Denial, 'scan: revoke');
        const { ok: _, ...response } = answer;
        answers.push(response);
      }
      return answers;
    },
  });
}

/** Whether a person at the terminal says yes; nobody is asked elsewhere. */
export async function confirmed(cli: Cli, question: string): Promise<boolean> {
  cli.err(`${question} [y/N] `);
  for await (const chunk of cli.stdin) {
    return /^y(?:es)?$/i.test(String(chunk).trim());
  }
  return false;
}

/** Known before anything is read: a scan that ends in a question nobody can answer has run for nothing. */
export function checkCanConfirm(cli: Cli, isSaid: boolean): void {
  const isInteractive = cli.errIsTerminal && 'isTTY' in cli.stdin && cli.stdin.isTTY === true;
  if (isSaid || isInteractive) return;
  throw new CountersignError(
    'ERR_USAGE',
    'scan: --revoke asks before it revokes, and there is no terminal to ask on',
    { hint: 'add --yes, or look first with --dry-run' },
  );
}
