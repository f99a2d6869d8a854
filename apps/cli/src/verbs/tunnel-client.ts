import { CountersignError } from '@countersign/base';
import {
  compileTunnelClient,
  isLocal,
  parseTunnelAddress,
  type TunnelClientWish,
} from '@countersign/gateway';
import { listOption } from '../list-option.ts';
import { type CommonWish, runTunnel } from '../tunnel/run-tunnel.ts';
import type { TunnelCredentials } from '../tunnel/tunnel-credentials.ts';
import { addTunnelOptions, type TunnelOptions } from '../tunnel/tunnel-options.ts';
import { patternsOf } from '../tunnel/tunnel-patterns.ts';
import type { Verb } from '../verb.ts';

interface ClientOptions extends TunnelOptions {
  readonly unsafeListen?: boolean;
  readonly overrideServerName?: string;
  readonly verifyCn?: string[];
  readonly verifyOu?: string[];
  readonly verifyDns?: string[];
  readonly verifyIp?: string[];
  readonly verifyUri?: string[];
}

/** `countersign tunnel client`: clear text comes in from this machine, and goes on by mTLS. */
export const tunnelClientVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--listen <addr>', 'HOST:PORT of this machine, or unix:PATH')
      .requiredOption('--target <addr>', 'where the server is: HOST:PORT')
      .option('--unsafe-listen', 'other machines may connect as well, in clear text')
      .option('--override-server-name <name>', 'the name to ask for and to check, not the target’s')
      .addOption(listOption('--verify-uri <uri>', 'a URI name; * is a segment, ** the rest'))
      .addOption(listOption('--verify-dns <name>', 'a DNS name of the certificate'))
      .addOption(listOption('--verify-ip <address>', 'an IP address of the certificate'))
      .addOption(listOption('--verify-cn <name>', 'a common name'))
      .addOption(listOption('--verify-ou <name>', 'an organisational unit'))
      .option('--disable-authentication', 'no certificate is shown to the server');
    addTunnelOptions(command);
    command.addHelpText('after', help).action((options: ClientOptions) =>
      runTunnel(cli, options, {
        ...{ who: 'tunnel client', isServer: false },
        compile: (common, from) => compileTunnelClient(wishOf(options, common, from)),
      }),
    );
  },
};

const help = `
The server must have the name of --target, or that of --override-server-name, and one of the --verify flags must be for
it. With an identity that has a SPIFFE ID (--identity, --issuer, --use-workload-api) a --verify flag stands for the name.
Prints \`ready tcp://HOST:PORT\` or \`ready unix:PATH\` when it serves; SIGTERM drains and ends it, SIGHUP reads again.

Example:
  countersign tunnel client --identity shop --listen localhost:5432 --target db.internal:5433 \\
    --verify-uri spiffe://example.com/ns/prod/sa/db`;

function wishOf(
  options: ClientOptions,
  common: CommonWish,
  from: TunnelCredentials['from'],
): TunnelClientWish {
  const listen = parseTunnelAddress(options.listen, '--listen');
  if (options.unsafeListen !== true && !isLocal(listen)) {
    throw usage(
      `--listen "${options.listen}": others than this machine could connect, in clear text`,
      'name unix:PATH or localhost:PORT, or add --unsafe-listen',
    );
  }
  const target = parseTunnelAddress(options.target, '--target');
  if ('path' in target) {
    throw usage(`--target "${options.target}": a client connects to HOST:PORT; mTLS is for others`);
  }
  const { verifyCn, verifyOu, verifyDns, verifyIp, verifyUri, overrideServerName } = options;
  const lists = { cn: verifyCn, ou: verifyOu, dns: verifyDns, ip: verifyIp, uri: verifyUri };
  const servers = patternsOf(lists, '--verify');
  const hasSpiffeId = from === 'authority' || from === 'issuer';
  return {
    ...{ ...common, listen, target, servers, serverName: overrideServerName },
    shows: options.disableAuthentication !== true,
    checksName: !hasSpiffeId || servers.length === 0 || overrideServerName !== undefined,
  };
}

function usage(reason: string, hint?: string): CountersignError {
  return new CountersignError('ERR_USAGE', `tunnel client: ${reason}`, {
    ...(hint !== undefined && { hint }),
  });
}
