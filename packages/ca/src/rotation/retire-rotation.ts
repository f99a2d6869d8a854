import { counted, type Denial, denial } from '@countersign/base';
import { mostNamed } from './activate-rotation.ts';
import { inPhase, rootName, withGeneration } from './hierarchy-view.ts';
import { livingUnderGeneration } from './living-under.ts';
import type { StepResult } from './prepare-rotation.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf } from './rotation-document.ts';

export interface EndOrder {
  /** Although certificates are in use that lead to it, or tokens that pin it. */
  readonly force?: boolean | undefined;
  readonly by: string;
}

/**
 * The replaced key is trusted no more: a root leaves the trust bundle. Its lists go on until what it signed has ended.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_LIVE.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_LEDGER_*
 */
export async function retireRotation(
  name: string,
  order: EndOrder,
  context: RotationContext,
): Promise<StepResult> {
  mustBeKnown(name, context.document());

  // 1. There is one to retire.
  const replaced = inPhase(context.document(), name, 'replaced');
  if (replaced === undefined) {
    if (inPhase(context.document(), name, 'prepared') !== undefined) {
      const message = `retire the old key of "${name}": the new one is prepared and not active yet`;
      return denial('ERR_ROTATION_STEP', message);
    }
    if (inPhase(context.document(), name, 'retired') !== undefined)
      return { ok: true, done: false };
    return denial('ERR_ROTATION_STEP', `retire the old key of "${name}": none was replaced`);
  }

  // 2. Nothing in use leads to it.
  const living = await refusalByLiving(replaced, 'retire', order, context);
  if (living !== undefined) return living;

  // 3. No other process signs by it: one that cannot take up what replaced it has stopped by then. No force against it.
  const freeAt = replaced.since + context.retireAfterMs;
  if (context.clock.now() < freeAt) {
    const who = ledgerNameOf(replaced);
    const sides = `another process may sign by it until ${new Date(freeAt).toISOString()}`;
    return denial('ERR_ROTATION_STEP', `retire "${who}": ${sides}; then again`, { freeAt });
  }

  // 4. In one step.
  const document = withGeneration(context.document(), {
    ...replaced,
    phase: 'retired',
    since: context.clock.now(),
  });
  const sequence = document.sequence + (name === rootName ? 1 : 0);
  const said = { by: order.by, asked: 'retire', subject: name, detail: ledgerNameOf(replaced) };
  await context.commit({ ...document, sequence }, said);
  return { ok: true, done: true };
}

export async function refusalByLiving(
  generation: Generation,
  what: 'retire' | 'roll back',
  { force = false, by }: EndOrder,
  context: RotationContext,
): Promise<Denial | undefined> {
  const { count, tokens, until, holders } = await livingUnderGeneration(generation, context);
  if (count === 0) return undefined;
  const ledgerName = ledgerNameOf(generation);
  const named = holders.slice(0, mostNamed).map(({ kind, name, instance, until: end }) => {
    const who = kind === 'token' ? `token "${instance}" for "${name}"` : `"${name}"`;
    return `${who} until ${new Date(end).toISOString()}`;
  });
  const more = count > mostNamed ? ` and ${count - mostNamed} more` : '';
  const pin =
    tokens === 0 ? [] : [`${counted(tokens, 'join token')} ${tokens === 1 ? 'pins' : 'pin'} it`];
  const lead = count === tokens ? [] : [inUse(count - tokens)];
  const sides = `${[...pin, ...lead].join(' and ')}: ${named.join(', ')}${more}`;
  if (force) {
    context.log.error({ by, generation: ledgerName, count, until }, `forced: ${sides}`);
    return undefined;
  }
  return denial('ERR_ROTATION_LIVE', `${what} "${ledgerName}": ${sides}`, {
    ...{
      generation: ledgerName,
      count,
      tokens,
      until,
      names: holders.slice(0, 100).map((each) => each.name),
    },
  });
}

function inUse(count: number): string {
  return `${counted(count, 'certificate')} in use ${count === 1 ? 'leads' : 'lead'} to it`;
}
