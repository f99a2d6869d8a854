import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Clock, noLog, noMeter, systemClock } from '@countersign/base';
import { parseCaConfig } from '../src/ca-config.ts';
import { openAuthority } from '../src/open-authority.ts';
import { serveAuthority } from '../src/serve/serve-authority.ts';
import { failSystemCalls } from './fail-system-calls.ts';

/**
 * A serving authority as a process of its own, which is told on standard input what is to go wrong: `fault-process.ts
 * CONFIG DATA`. Each line is answered with one line.
 */
const [configFile = '', data = ''] = process.argv.slice(2);
const config = parseCaConfig(await readFile(configFile, 'utf8'), configFile);
let aheadMs = 0;
const clock: Clock = {
  now: () => systemClock.now() + aheadMs,
  monotonic: () => systemClock.monotonic(),
  sleep: (ms, options) => systemClock.sleep(ms, options),
};
const shared = { clock, log: noLog, meter: noMeter, secrets: { env: process.env } };
const authority = await openAuthority({ config, data, ...shared });
const ports = { port: 0, publishPort: 0 };
const server = await serveAuthority({ authority, ...ports, dataDir: data, ...shared });
say(`ready ${server.port}`);

for await (const line of createInterface({ input: process.stdin })) {
  const [order, ...words] = line.split(' ');
  if (order === 'fail') say(await failSystemCalls(words));
  else if (order === 'clock') setClock(Number(words[0]));
  else if (order === 'health') say(server.unwell() ?? 'well');
  else say(`what is "${line}"`);
}

function setClock(ms: number): void {
  aheadMs = ms;
  say(`ahead ${ms}`);
}

function say(text: string): void {
  process.stdout.write(`${text.replaceAll('\n', ' ')}\n`);
}
