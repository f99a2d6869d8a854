import { type Log, noMeter } from '@countersign/base';
import {
  type Authority,
  type AuthorityServer,
  type SuperiorKeeper,
  serveAuthority,
} from '@countersign/ca';
import type { AdminServer } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { portOption } from '../port-option.ts';
import { holdMemory } from '../serve/hold-memory.ts';
import { runUntilSignal } from '../serve/long-running.ts';
import { createLog, type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import type { PrometheusMeter } from '../serve/prometheus-meter.ts';
import { keepConfig, openState, readCaConfig } from '../state/open-state.ts';
import { addSealOptions } from '../state/state-options.ts';
import type { Verb } from '../verb.ts';
import { versionNumber } from '../version.ts';

interface CaServeOptions {
  readonly config: string;
  readonly data: string;
  readonly port?: number;
  readonly adminPort?: number;
  readonly publishPort?: number;
  readonly passphrase?: string;
  readonly keyFile?: string;
  readonly logLevel: LogLevel;
}

/** `countersign ca serve`: the authority's HTTPS API, and its admin socket. */
export const caServeVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .requiredOption('--config <file>', 'ca.yaml')
        .requiredOption('--data <dir>', 'the data directory that init made')
        .addOption(
          portOption('--port <n>', 'HTTPS port, 0 for any free one; api.port unless given'),
        )
        .addOption(
          portOption(
            '--admin-port <n>',
            'serve /metrics and /healthz on this loopback port, 0 for any',
          ),
        )
        .addOption(
          portOption('--publish-port <n>', 'port of lists and OCSP; publish.port unless given'),
        ),
    )
      .addOption(logLevelOption())
      .addHelpText('after', help)
      .action((options: CaServeOptions) => serve(cli, options));
  },
};

const help = `
Prints \`ready <url>\` when it serves, with the admin URL after it where there is one,
and where lists and OCSP are published. SIGTERM ends it,
SIGHUP puts the policy of ca.yaml in force as it is now.

Example:
  countersign ca serve --config ca.yaml --data state --port 8440`;

async function serve(cli: Cli, options: CaServeOptions): Promise<void> {
  const log = createLog(cli, options.logLevel);
  const scraped = await meterToScrape(options);
  const meter = scraped ?? noMeter;
  // 1. the authority: configuration, keys, ledger, each proved to fit the others
  const { text, config } = await readCaConfig(cli, options.config);
  const authority = await openState(cli, options, { log, meter, config });
  let superior: SuperiorKeeper | undefined;
  try {
    await keepConfig(options.data, text);
    superior = await superiorOf(authority, options, { cli, log });
    // 2. its API
    const server = await serveAuthority({
      authority,
      dataDir: options.data,
      clock: cli.clock,
      log,
      meter,
      version: versionNumber(),
      ...(options.port !== undefined && { port: options.port }),
      ...(options.publishPort !== undefined && { publishPort: options.publishPort }),
    });
    const letGoOfMemory = holdMemory();
    const admin = await startAdmin(options, log, scraped, {
      close: () => server.close(),
      unwell: () => server.unwell() ?? superior?.unwell(),
    });
    // 3. until it is told to end
    await runUntilSignal(cli, log, {
      urls: [server.url, admin?.url, server.publishUrl].filter((url) => url !== undefined),
      reload: () => reload(cli, options, authority),
      async close() {
        letGoOfMemory();
        await server.close();
        await admin?.close();
      },
    });
  } finally {
    await superior?.stop();
    await authority.close();
  }
}

/** What asks other authorities is loaded where ca.yaml names one. */
async function superiorOf(
  authority: Authority,
  options: CaServeOptions,
  around: { readonly cli: Cli; readonly log: Log },
): Promise<SuperiorKeeper | undefined> {
  if (authority.config.issuedBy === undefined) return undefined;
  const { startSuperior } = await import('../issuers/superior-of-config.ts');
  return await startSuperior(authority, options, around);
}

/** Nobody asks for figures where no admin port is open: what counts them is not even loaded. */
async function meterToScrape({ adminPort }: CaServeOptions): Promise<PrometheusMeter | undefined> {
  if (adminPort === undefined) return undefined;
  const { createPrometheusMeter } = await import('../serve/prometheus-meter.ts');
  return createPrometheusMeter();
}

/** Metrics and health on a port of their own; where that fails, the API must not stay behind. */
async function startAdmin(
  { adminPort }: CaServeOptions,
  log: Log,
  meter: PrometheusMeter | undefined,
  server: Pick<AuthorityServer, 'close' | 'unwell'>,
): Promise<AdminServer | undefined> {
  if (adminPort === undefined || meter === undefined) return undefined;
  try {
    const { startAdminServer } = await import('@countersign/gateway');
    return await startAdminServer({
      address: '127.0.0.1',
      port: adminPort,
      metricsText: meter.metricsText,
      unwell: () => server.unwell(),
      log,
    });
  } catch (thrown) {
    await server.close();
    throw thrown;
  }
}

async function reload(cli: Cli, options: CaServeOptions, authority: Authority): Promise<void> {
  const { text, config } = await readCaConfig(cli, options.config);
  await authority.reconfigure(config);
  await keepConfig(options.data, text);
}
