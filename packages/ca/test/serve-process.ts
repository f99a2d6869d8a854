import { readFile } from 'node:fs/promises';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { parseCaConfig } from '../src/ca-config.ts';
import { openAuthority } from '../src/open-authority.ts';
import { serveAuthority } from '../src/serve/serve-authority.ts';

/** A serving authority as a process of its own, for tests that kill it: `serve-process.ts CONFIG DATA`. */
const [configFile = '', data = ''] = process.argv.slice(2);
const config = parseCaConfig(await readFile(configFile, 'utf8'), configFile);
const shared = { clock: systemClock, log: noLog, meter: noMeter, secrets: { env: process.env } };
const authority = await openAuthority({ config, data, ...shared });
const ports = { port: 0, publishPort: 0 };
const server = await serveAuthority({ authority, ...ports, dataDir: data, ...shared });
process.stdout.write(`ready ${server.port} ${authority.orphans}\n`);
