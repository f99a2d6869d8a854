import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RevokedValues } from './revoked-values.ts';

describe('values that a revocation may name', () => {
  const few = [
    { by_what: 'key', value: 'ab' },
    { by_what: 'spiffe-id', value: 'spiffe://example.com/a' },
  ];
  const many = Array.from({ length: 10_001 }, (_, i) => ({ by_what: 'key', value: `${i}` }));

  it('are those of the revocations, where few are', () => {
    const values = new RevokedValues({ all: () => few });
    assert.equal(values.mayName('key', 'ab'), true);
    assert.equal(values.mayName('spiffe-id', 'ab'), false);
    values.noteRevoked('spiffe-id', 'ab');
    assert.equal(values.mayName('spiffe-id', 'ab'), true);
  });

  it('are all but those that were looked up in vain, where many are', () => {
    const values = new RevokedValues({ all: () => many });
    assert.equal(values.mayName('token', 'x'), true);
    values.noteUnrevoked('token', 'x');
    assert.equal(values.mayName('token', 'x'), false);
    assert.equal(values.mayName('key', 'x'), true);
    values.noteRevoked('token', 'x');
    assert.equal(values.mayName('token', 'x'), true);
  });

  it('are all, once too many were revoked to hold them', () => {
    const values = new RevokedValues({ all: () => many.slice(1) });
    assert.equal(values.mayName('serial', '01'), false);
    values.noteRevoked('serial', '02');
    assert.equal(values.mayName('serial', '01'), true);
    assert.equal(values.mayName('serial', '02'), true);
  });
});
