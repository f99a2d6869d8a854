import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { CountersignError, messageOf } from '@countersign/base';
import { openTrialAuthority } from '@countersign/ca';
import { type Cli, systemCli } from '../cli.ts';
import { failureOf, reportFailure } from '../report-error.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog } from '../serve/pino-log.ts';
import { versionNumber } from '../version.ts';
import { managementOf } from './management.ts';
import { pebbleAcme, pebbleHierarchies } from './pebble-authority.ts';
import { type PebbleConfig, readPebbleConfig } from './pebble-config.ts';
import { readPebbleEnvironment } from './pebble-environment.ts';
import { type PebbleFlags, parsePebbleFlags, pebbleHelp } from './pebble-flags.ts';
import { RenewalInfoOverrides } from './renewal-info-overrides.ts';
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
  log.info({ ...environment, strict: flags.strict }, 'environment and flags');

  // 2. the authority
  const authority = await openTrialAuthority({
    hierarchies: pebbleHierarchies(config, environment),
    acme: await pebbleAcme(config, environment, flags),
    ocspUrl: config.ocspResponderURL,
    clock: cli.clock,
    log,
  });
  const servers: HttpsServer[] = [];
  const close = async () => {
    await Promise.all(servers.map((each) => each.close()));
    await authority.close();
  };

  // 3. its doors, and the words that scripts wait for
  try {
    const renewalInfo = new RenewalInfoOverrides();
    const { managementListenAddress: management } = config;
    if (management !== undefined) {
      const what = 'pebble.managementListenAddress';
      const manage = managementOf({ ...authority, renewalInfo });
      const server = await serveHttps(management, tls, what, manage);
      servers.push(server);
      await cli.out(`Management interface listening on: ${server.address}\n`);
      const roots = authority.hierarchies.map((_, i) => `https://${server.address}/roots/${i}`);
      await cli.out(`Root CA certificate available at: ${roots.join(' ')}\n`);
    }
    const answer = 'pebble.listenAddress';
    const server = await serveHttps(config.listenAddress, tls, answer, (request, response) => {
      if (renewalInfo.answer(request, response)) return;
      void authority.edge.answer(request, response);
    });
    servers.unshift(server);
    await cli.out(`Listening on: ${server.address}\n`);
    await cli.out(`ACME directory available at: https://${server.address}/dir\n`);
  } catch (thrown) {
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
