import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestWord } from './nearest-word.ts';

test('a misspelling finds its word, a stranger finds none', () => {
  const keys = ['algorithm', 'validity', 'storage', 'pathLenConstraint'];
  assert.equal(nearestWord('validty', keys), 'validity');
  assert.equal(nearestWord('pathlenconstraint', keys), 'pathLenConstraint');
  assert.equal(nearestWord('algortihm', keys), 'algorithm');
  assert.equal(nearestWord('colour', keys), undefined);
});
