import { denial } from '@countersign/base';
import { makeActive } from './activate-rotation.ts';
import { giveUpOrders } from './carried-orders.ts';
import { activeOf, certifiedBy, inPhase, rootName, withGeneration } from './hierarchy-view.ts';
import type { StepResult } from './prepare-rotation.ts';
import { type EndOrder, refusalByLiving } from './retire-rotation.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf } from './rotation-document.ts';

export interface RollBackOrder extends EndOrder {
  /** A new key that was active before is given up, too. Default false: then a repetition does nothing more. */
  readonly drop?: boolean | undefined;
}

/**
 * Back to the old key. Where the new one is active, the old one signs again, and the new one is prepared as before; where
 * it was only prepared, it is given up for good: a root leaves the trust bundle, and its certificate by the root before is
 * revoked.
 *
 * Crash: after the step, before that revocation; the next call does it.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_LIVE.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, ERR_LEDGER_*
 */
export async function rollBackRotation(
  name: string,
  order: RollBackOrder,
  context: RotationContext,
): Promise<StepResult> {
  const { by, drop = false } = order;
  mustBeKnown(name, context.document());
  const document = context.document();
  const active = activeOf(document, name);

  // 1. From active: the old one signs again.
  const replaced = inPhase(document, name, 'replaced');
  if (replaced !== undefined) {
    await makeActive(replaced, active, 'prepared', { by, asked: 'rollback' }, context);
    return { ok: true, done: true };
  }

  // 2. From prepared, or in the making: nothing leads to it, and nothing will.
  const prepared = inPhase(document, name, 'prepared');
  const given = prepared ?? inPhase(document, name, 'making');
  if (given !== undefined && given.spans.length > 0 && !drop) return { ok: true, done: false };
  if (given !== undefined) {
    const living = await refusalByLiving(given, 'roll back', order, context);
    if (living !== undefined) return living;
    const others = await giveUpOrders(given, context);
    const dropped = { ...given, phase: 'dropped', since: context.clock.now() } as const;
    const wasTrusted = name === rootName && prepared !== undefined;
    const sequence = document.sequence + (wasTrusted ? 1 : 0);
    const said = { by, asked: 'rollback', subject: name, detail: ledgerNameOf(given) };
    const orders = others;
    await context.commit({ ...withGeneration(document, dropped), sequence, orders }, said);
    await revokeDropped(dropped, context);
    return { ok: true, done: true };
  }

  // 3. Nothing; unless a crash came before the revocation.
  const dropped = inPhase(document, name, 'dropped');
  if (dropped !== undefined && dropped.number > active.number) {
    return { ok: true, done: await revokeDropped(dropped, context) };
  }
  return denial('ERR_ROTATION_STEP', `roll back "${name}": no new key of it is prepared or active`);
}

/** Whoever trusts its signer could be led to it. @returns whether anything was left to revoke */
async function revokeDropped(
  dropped: Generation,
  { ledger, log, document }: RotationContext,
): Promise<boolean> {
  let revoked = false;
  const self = certifiedBy(dropped, dropped);
  for (const { certificate } of dropped.certificates) {
    if (certificate === self) continue;
    const { serialHex: value } = certificate;
    if ((await ledger.certificateStatus(value)).status === 'revoked') continue;
    const reason = 'cessationOfOperation' as const;
    const outcome = await ledger.revoke({ by: 'serial', value, reason, orderedBy: 'operator' });
    if (!outcome.ok) {
      log.error({ serial: value, code: outcome.code }, `not revoked: ${outcome.detail}`);
      continue;
    }
    log.info({ serial: value, sequence: document().sequence }, 'given up key: certificate revoked');
    revoked = true;
  }
  return revoked;
}
