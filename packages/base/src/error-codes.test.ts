import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CountersignError, codeFamilies, codeTable, isErrorCode, Secret } from './index.ts';

test('no two families have a code of the same name', () => {
  const codes = Object.values(codeFamilies).flatMap((rows) => Object.keys(rows));
  assert.equal(Object.keys(codeTable).length, codes.length);
});

test('every row says what happened and what to do, as a sentence and a hint', () => {
  for (const [code, row] of Object.entries(codeTable)) {
    assert.match(code, /^ERR(_[A-Z0-9]+)+$/);
    assert.match(row.meaning, /^[A-Z].*\.$/s, `${code}: the meaning is a sentence`);
    assert.ok(row.hint.length > 10 && !row.hint.endsWith('.'), `${code}: the hint is a fragment`);
    assert.ok([1, 2, 3].includes(row.exit), code);
  }
});

test('an error takes hint and exit from the table unless the place knows better', () => {
  const error = new CountersignError('ERR_DURATION', 'duration "x" is not written as 24h');
  assert.equal(error.hint, codeTable.ERR_DURATION.hint);
  assert.equal(error.exit, 2);
  assert.equal(new CountersignError('ERR_DURATION', 'x', { hint: 'better' }).hint, 'better');
  assert.equal(isErrorCode('ERR_DURATION'), true);
  assert.equal(isErrorCode('toString'), false);
});

test('a secret cannot be printed by accident', () => {
  const secret = new Secret('hunter2');
  const shown = `${secret} ${JSON.stringify({ secret })} ${inspect({ secret }, { showHidden: true, depth: 9 })}`;
  assert.doesNotMatch(shown, /hunter2/);
  assert.equal(secret.reveal(), 'hunter2');
});
