import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { CountersignError, messageOf } from '@countersign/base';
import { type Cli, systemCli } from '../cli.ts';
import { failureOf, reportFailure } from '../report-error.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog } from '../serve/pino-log.ts';
import { versionNumber } from '../version.ts';
import type { Opened } from './open-pebble.ts';
import { doubtsAboutPebble, type PebbleConfig, readPebbleConfig } from './pebble-config.ts';
import { readPebbleEnvironment } from './pebble-environment.ts';
import { type PebbleFlags, parsePebbleFlags, pebbleHelp } from './pebble-flags.ts';
import { type HttpsServer, serveHttps } from './serve-https.ts';

/** The process's entry, of `countersign-pebble`. */
export async function main(): Promise<void> {
  const cli = systemCli();
  let exitCode = 0;
  try {
    await run(parsePebbleFlags(process.argv.slice(2)), cli);
  } catch (thrown) {
    const failure = failureOf(thrown);
    reportFailure(cli, failure, false);
    exitCode = failure.exit;
  }
  process.stdout.write('', () => process.exit(exitCode));
}

async function run(flags: PebbleFlags, cli: Cli): Promise<void> {
  if (flags.asks === 'help') return cli.err(pebbleHelp);
  if (flags.asks === 'version')
    return await cli.out(`Pebble version: countersign ${versionNumber()}\n`);

  // 1. what is asked for
  cli.err(
    'countersign-pebble is for tests alone: nothing that it certifies may be relied on, its keys are for whoever asks\n',
  );
  const config = await readPebbleConfig(flags.config);
  const environment = readPebbleEnvironment(cli.env);
  const tls = await readTls(config);
  const log = createLog(cli, 'info');
  const { unknown } = config;
  if (unknown.length > 0) log.warn({ unknown }, "members of Pebble's file that mean nothing here");
  for (const doubt of doubtsAboutPebble(config)) log.warn({}, doubt);
  log.info({ ...environment, strict: flags.strict }, 'environment and flags');

  // 2. its doors, open before there is anything behind them: other projects' tests wait for a port, and not for long
  const servers: HttpsServer[] = [];
  const opening = Promise.withResolvers<Opened>();
  // Who asks meanwhile waits with us; where it fails, all of it ends.
  opening.promise.catch(() => {});
  const close = async () => {
    await Promise.all(servers.map((each) => each.close()));
    await opened?.authority.close();
  };
  let opened: Opened | undefined;
  const listen = async (address: string, what: string, answer: keyof Opened['answers']) => {
    const server = await serveHttps(address, tls, what, (request, response) => {
      opening.promise.then(
        ({ answers }) => answers[answer](request, response),
        () => response.destroy(),
      );
    });
    servers.push(server);
    return server.address;
  };
  try {
    const { listenAddress, managementListenAddress: managed } = config;
    const acme = await listen(listenAddress, 'pebble.listenAddress', 'acme');
    const what = 'pebble.managementListenAddress';
    const management = managed && (await listen(managed, what, 'management'));

    // 3. the authority, and the words that scripts wait for
    const { openPebble } = await import('./open-pebble.ts');
    opened = await openPebble({ config, environment, flags, clock: cli.clock, log });
    opening.resolve(opened);
    if (management !== undefined) {
      const roots = opened.authority.hierarchies.map((_, i) => `https://${management}/roots/${i}`);
      await cli.out(`Management interface listening on: ${management}\n`);
      await cli.out(`Root CA certificate available at: ${roots.join(' ')}\n`);
    }
    await cli.out(`Listening on: ${acme}\n`);
    await cli.out(`ACME directory available at: https://${acme}/dir\n`);
  } catch (thrown) {
    opening.reject(thrown);
    await close();
    throw thrown;
  }

  // 4. until it is told to end
  const urls = servers.map(({ address }) => `https://${address}`);
  await runUntilSignal(cli, log, { urls, reload, close });
}

async function reload(): Promise<void> {
  throw new CountersignError('ERR_CONFIG_UNSUPPORTED', 'all of it is in memory: start it again');
}

/** @throws CountersignError ERR_FILE */
async function readTls({ certificate, privateKey }: PebbleConfig) {
  const read = async (path: string, key: string) =>
    await readFile(path, 'utf8').catch((thrown: unknown) => {
      const message = `read pebble.${key} "${path}": ${messageOf(thrown)}`;
      throw new CountersignError('ERR_FILE', message, { fields: { path }, cause: thrown });
    });
  return {
    certificate: await read(certificate, 'certificate'),
    key: await read(privateKey, 'privateKey'),
  };
}
