import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { Cli } from '../cli.ts';
import { secretPlaces } from './secret-places.ts';

class FakeTerminal extends EventEmitter {
  readonly isTTY = true;
  readonly modes: boolean[] = [];
  setRawMode(raw: boolean): void {
    this.modes.push(raw);
  }
  pause(): void {}
  resume(): void {}
}

function terminalCli(): { cli: Cli; terminal: FakeTerminal; said: string[] } {
  const terminal = new FakeTerminal();
  const said: string[] = [];
  const err = (text: string) => said.push(text);
  const cli = { stdin: terminal, env: { HSM_PIN: 'x' }, err, errIsTerminal: true };
  return { cli: cli as unknown as Cli, terminal, said };
}

test('a PIN is asked for without showing what is typed, corrections included', async () => {
  const { cli, terminal, said } = terminalCli();
  const answer = secretPlaces(cli).prompt?.('PIN of token "issuing"');
  for (const key of ['1', '2', '9', '\u007f', '3', '4', '\r', 'rest']) {
    terminal.emit('data', Buffer.from(key));
  }
  assert.equal((await answer)?.reveal(), '1234');
  assert.deepEqual(said, ['PIN of token "issuing": ', '\n']);
  assert.deepEqual(terminal.modes, [true, false]);
});

test('control-C at the question ends the command, and the terminal is as before', async () => {
  const { cli, terminal } = terminalCli();
  const answer = secretPlaces(cli).prompt?.('passphrase');
  terminal.emit('data', Buffer.from('12\u0003'));
  await assert.rejects(async () => answer, { code: 'ERR_SIGNER_SECRET', message: /interrupted$/ });
  assert.deepEqual(terminal.modes, [true, false]);
});

test('nobody is asked where nobody could answer', () => {
  const { cli } = terminalCli();
  assert.equal(secretPlaces({ ...cli, errIsTerminal: false }).prompt, undefined);
  assert.deepEqual(secretPlaces(cli).env, { HSM_PIN: 'x' });
});
