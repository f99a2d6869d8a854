import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

/** The agent knows its users by the kernel of Linux. */
export const skipAgent = process.platform === 'linux' ? false : 'the agent runs on Linux alone';

/** An authority that serves, and an agent that has enrolled there by a token, in a directory of the test. */
export async function startAgentOfAuthority(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  await writeFile(file('ca.yaml'), authorityYaml());
  await writeFile(file('agent.yaml'), 'agent: { socket: agent.sock }\n');
  /** What a command says that must go well. */
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout.trim();
  };
  const state = ['--data', file('state')];
  await run('init', '--config', file('ca.yaml'), ...state);
  const server = await startCountersign(t, [
    ...['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'],
  ]);
  const [url = ''] = server.urls;
  const token = await run('token', 'create', ...state, '--spiffe-id', id('agent'));
  const agent = await startCountersign(t, [
    ...['agent', '--config', file('agent.yaml'), '--ca', url, '--token', token],
  ]);
  return { file, run, state, server, agent };
}
