import { CountersignError } from '@countersign/base';
import { auditGenesis } from '../audit-trail.ts';
import type { OperationName } from '../ledger-front.ts';
import type { Head } from '../ledger-rows.ts';
import { ledgerReads, ledgerWrites } from '../ledger-rules.ts';
import { randomOctets } from '../random-octets.ts';
import { LoadedStore } from './loaded-store.ts';
import { type Answers, keyOf, type Question, type StoredIntent } from './question.ts';

export interface Operation {
  readonly name: OperationName;
  readonly args: readonly unknown[];
  /** When it was asked. */
  readonly at: number;
}

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: CountersignError };

export interface Run {
  readonly store: LoadedStore;
  /** One an operation; they count only where `store.missing` is empty. */
  readonly outcomes: readonly Outcome[];
}

/**
 * The rules, one operation after the other, over what was loaded. An operation that is refused or throws has written
 * nothing; one that throws after it wrote is a defect, which ends the whole batch.
 */
export function runOperations(operations: readonly Operation[], head: Head, answers: Answers): Run {
  const store = new LoadedStore(head, answers);
  const outcomes = operations.map(({ name, args, at }): Outcome => {
    const rule = rules[name] as (tx: object, ...rest: readonly unknown[]) => unknown;
    const { writes } = store;
    try {
      return { ok: true, value: rule({ store, at, random: randomOctets }, ...args) };
    } catch (thrown) {
      // What a run with questions open throws may come of the answers that it lacks.
      if (store.missing.size > 0) return unanswered;
      if (!(thrown instanceof CountersignError) || store.writes !== writes) throw thrown;
      return { ok: false, error: thrown };
    }
  });
  return { store, outcomes };
}

/**
 * The questions that operations are going to ask, as far as they can be known without an answer: it saves journeys to
 * the database while its head is locked. What intents say never changes, so those known from before lead further.
 */
export function foresee(
  operations: readonly Operation[],
  known: ReadonlyMap<number, StoredIntent>,
): readonly Question[] {
  const answers: Answers = new Map();
  const asked = new Map<string, Question>();
  for (let round = 0; round < 2; round += 1) {
    const { missing } = runOperations(operations, emptyHead, answers).store;
    let further = false;
    for (const [key, question] of missing) {
      asked.set(key, question);
      const intent = question.name === 'intent' ? known.get(question.with[0] as number) : undefined;
      if (intent === undefined) continue;
      answers.set(keyOf('intent', [intent.record.position]), intent);
      further = true;
    }
    if (!further) break;
  }
  return [...asked.values()];
}

const rules = { ...ledgerReads, ...ledgerWrites };

/** A head that nobody reads. */
export const emptyHead: Head = {
  position: 0,
  revocation: 0,
  intents: 0,
  issued: 0,
  abandoned: 0,
  revocations: 0,
  tokens: 0,
  audit: 0,
  auditHash: auditGenesis.hash,
};

const unanswered: Outcome = {
  ok: false,
  error: new CountersignError('ERR_LEDGER_STATE', 'a question is open'),
};
