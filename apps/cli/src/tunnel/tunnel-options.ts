import type { Command } from 'commander';
import { durationOption } from '../duration-option.ts';
import { wholeNumber } from '../log/whole-number.ts';
import { proofKeyOption } from '../proof/proof-key-option.ts';
import { type LogLevel, logLevelOption } from '../serve/pino-log.ts';
import { addRefusedFlags } from './refused-flags.ts';

/** What both modes of a tunnel have on their command line. Durations are milliseconds. */
export interface TunnelOptions {
  readonly listen: string;
  readonly target: string;
  readonly identity?: string;
  readonly ca?: string;
  readonly token?: string;
  readonly proofKey?: string;
  readonly issuer?: string;
  readonly useWorkloadApi?: boolean;
  readonly useWorkloadApiAddr?: string;
  readonly keystore?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly cacert?: string;
  readonly crl?: string;
  readonly disableAuthentication?: boolean;
  readonly timedReload?: number;
  readonly connectTimeout: number;
  readonly closeTimeout: number;
  readonly maxConnLifetime: number;
  readonly maxConcurrentConns?: number;
  readonly shutdownTimeout: number;
  readonly status?: string;
  readonly data?: string;
  readonly logLevel: LogLevel;
}

const duration = (flags: string, text: string, fallbackMs: number, fallback: string) =>
  durationOption(flags, text).default(fallbackMs, fallback);

/** Adds them, and what ghostunnel has and is not done, to be refused by name. */
export function addTunnelOptions(command: Command): void {
  command
    .option('--identity <dir>', 'its own identity, renewed there')
    .option('--ca <url>', 'the authority; of identity.json unless given')
    .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
    .addOption(proofKeyOption())
    .option('--issuer <file>', "an identity of somebody else's authority: a file with issuer:")
    .option('--use-workload-api', 'the identity of the agent at SPIFFE_ENDPOINT_SOCKET')
    .option('--use-workload-api-addr <addr>', 'the identity of the agent there: unix://PATH')
    .option('--keystore <file>', 'certificate chain and key in one PEM file')
    .option('--cert <file>', 'certificate chain in PEM')
    .option('--key <file>', 'its key in PEM')
    .option('--cacert <file>', 'who vouches for the other side, in PEM')
    .option('--crl <file>', 'revocation lists of --cacert, in PEM: no certificate without one')
    .addOption(
      durationOption(
        '--timed-reload <duration>',
        'reads files and the identity again; files every second unless given',
        undefined,
        1,
      ),
    )
    .addOption(
      durationOption(
        '--connect-timeout <duration>',
        'for connections, handshakes included',
        undefined,
        1,
      ).default(10_000, '10s'),
    )
    .addOption(
      duration(
        '--close-timeout <duration>',
        'for one side, after the other has said its last; 0 ends both at once',
        60_000,
        '60s',
      ),
    )
    .addOption(duration('--max-conn-lifetime <duration>', 'of a connection; 0: for ever', 0, '0s'))
    .option(
      '--max-concurrent-conns <n>',
      'connections at a time, further ones are dropped (default: 10000)',
      wholeNumber,
    )
    .addOption(
      duration('--shutdown-timeout <duration>', 'for connections at the end', 300_000, '5m'),
    )
    .option('--status <addr>', 'serve its admin pages here: HOST:PORT or unix:PATH')
    .option('--data <dir>', 'keeps received revocations; after a crash it starts by them')
    .addOption(logLevelOption());
  addRefusedFlags(command);
}
