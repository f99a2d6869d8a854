import { CountersignError, messageOf } from '@countersign/base';

/** How a certificate was come by: what to do when it is lost depends on it. */
export type CameBy = 'order' | 'enrolment' | 'renewal';

const thenDo: Readonly<Record<CameBy, string>> = {
  order: 'then make room and order it again',
  enrolment: 'then make room and enrol with a new token, since this one is spent',
  renewal: 'the identity before it stays in place: make room and renew again',
};

/**
 * Writes what was just issued. Where that fails the error names the serial: the certificate is in the ledger, and the
 * caller has no other way to learn of it.
 *
 * @throws CountersignError ERR_IDENTITY_NOT_KEPT
 */
export async function keepIssued(
  serial: string,
  cameBy: CameBy,
  write: () => Promise<void>,
): Promise<void> {
  try {
    await write();
  } catch (thrown) {
    const message = `certificate ${serial} was issued and is lost: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_IDENTITY_NOT_KEPT', message, {
      fields: { serial },
      hint: `revoke it, \`countersign revoke --serial ${serial}\`; ${thenDo[cameBy]}`,
      cause: thrown,
    });
  }
}
