import type { Denial } from '@countersign/base';
import { type Asked, whileAskedBy, whoAsks } from './asked.ts';
import type { Ledger } from './ledger.ts';

/** What is asked for, about whom, and by whom where the request came over no API. */
export interface Question {
  readonly asked: 'issue' | 'renew' | 'token' | 'revoke' | 'import';
  readonly subject: string | undefined;
  readonly by: Asked['by'];
  /** What rules know an edge by. */
  readonly provisioner?: string | undefined;
}

/** Decides; a refusal, which leaves no ledger record, is noted in the audit trail. */
export function decideNoted<T extends { readonly ok: true } | Denial>(
  ledger: Pick<Ledger, 'noteRefusal'>,
  { asked, subject, by, provisioner }: Question,
  decide: () => Promise<T>,
): Promise<T> {
  return whoAsks() === undefined ? whileAskedBy({ by }, decideAndNote) : decideAndNote();

  async function decideAndNote(): Promise<T> {
    const answer = await decide();
    if (!answer.ok) {
      const { code, detail } = answer;
      ledger.noteRefusal({ asked, subject, provisioner, code, detail });
    }
    return answer;
  }
}
