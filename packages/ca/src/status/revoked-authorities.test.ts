import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CountersignError, noLog } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { testAuthority } from '../../test/authority-under-test.ts';
import { watchRevoked } from './revoked-authorities.ts';
import { servedStatus } from './served-status.ts';

it('tells in status and health what was changed behind an authority that serves, until it is right again', async () => {
  const authority = await testAuthority();
  const { ledger } = authority;
  const clock = testClock();
  const watch = watchRevoked({ authority, clock, log: noLog });
  const running = {
    ...{ publishing: undefined, retention: undefined, clockWatch: undefined },
    ...{ revoked: watch, identity: undefined },
  };
  const status = async () =>
    (await servedStatus({ authority, running, version: '1', startedAt: 0, clock })).findings;
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [undefined, []]);

  const proveDocuments = ledger.proveDocuments;
  const detail = 'document "hierarchy": it has version 1, the audit trail says 2';
  ledger.proveDocuments = () => Promise.reject(new CountersignError('ERR_LEDGER_TAMPERED', detail));
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [detail, [{ about: 'ledger', detail }]]);

  ledger.proveDocuments = proveDocuments;
  await watch.look();
  assert.deepEqual([watch.finding(), await status()], [undefined, []]);
  watch.stop();
  await authority.close();
});
