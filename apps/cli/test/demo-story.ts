import assert from 'node:assert/strict';

const steps = [
  'authority',
  'serving',
  'issued',
  'gateway',
  'allowed',
  'denied',
  'rotated',
  'streaming',
  'revoked',
  'acknowledged',
  'unharmed',
  'router',
  'withheld',
];

/** That a demo has told every step, in order, of what it set up. */
export function assertWholeStory(stdout: string): void {
  const told = stdout.split('\n').flatMap((line) => /✓ (\w+)/.exec(line)?.[1] ?? []);
  assert.deepEqual(told, steps);
  assert.match(stdout, /denied .*403 ERR_AUTHZ_NO_RULE/);
  assert.match(stdout, /rotated .* [1-9]\d* requests, 0 failed/);
  assert.match(stdout, /revoked .*[1-9]\d* connections? on 1 gateway, [\d.]+ ms after/);
}
