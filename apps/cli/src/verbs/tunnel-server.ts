import { CountersignError } from '@countersign/base';
import {
  compileTunnelServer,
  isLocal,
  parseTunnelAddress,
  type TunnelServerWish,
} from '@countersign/gateway';
import { Option } from 'commander';
import { listOption } from '../list-option.ts';
import { type CommonWish, runTunnel } from '../tunnel/run-tunnel.ts';
import { addTunnelOptions, type TunnelOptions } from '../tunnel/tunnel-options.ts';
import { patternsOf } from '../tunnel/tunnel-patterns.ts';
import type { Verb } from '../verb.ts';

interface ServerOptions extends TunnelOptions {
  readonly allowAll?: boolean;
  readonly allowCn?: string[];
  readonly allowOu?: string[];
  readonly allowDns?: string[];
  readonly allowIp?: string[];
  readonly allowUri?: string[];
  readonly unsafeTarget?: boolean;
  readonly proxyProtocol?: boolean;
  readonly proxyProtocolMode?: keyof typeof proxyModes;
}

/** What ghostunnel calls them. */
const proxyModes = { conn: 'v2-addresses', tls: 'v2-tls', 'tls-full': 'v2' } as const;

/** `countersign tunnel server`: mTLS comes in, clear text goes on to a service of this machine. */
export const tunnelServerVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--listen <addr>', 'where clients connect with mTLS: HOST:PORT')
      .requiredOption('--target <addr>', 'the service: HOST:PORT of this machine, or unix:PATH')
      .option('--unsafe-target', 'the target may be another machine, in clear text')
      .option('--allow-all', 'whoever has a certificate that is vouched for')
      .addOption(listOption('--allow-uri <uri>', 'a URI name; * is a segment, ** the rest'))
      .addOption(listOption('--allow-dns <name>', 'a DNS name of the certificate'))
      .addOption(listOption('--allow-ip <address>', 'an IP address of the certificate'))
      .addOption(listOption('--allow-cn <name>', 'a common name'))
      .addOption(listOption('--allow-ou <name>', 'an organisational unit'))
      .option('--disable-authentication', 'no certificate is asked for: everybody')
      .option('--proxy-protocol', 'tells the target who connected from where (version 2)')
      .addOption(
        new Option('--proxy-protocol-mode <mode>', 'also of TLS, also of the certificate').choices(
          Object.keys(proxyModes),
        ),
      );
    addTunnelOptions(command);
    command.addHelpText('after', help).action((options: ServerOptions) =>
      runTunnel(cli, options, {
        ...{ who: 'tunnel server', isServer: true },
        compile: (common) => compileTunnelServer(wishOf(options, common)),
      }),
    );
  },
};

const help = `
Several --allow flags let in whoever one of them is for. A client that is revoked, or whose certificate has ended, loses
the connections that it has. Prints \`ready tcp://HOST:PORT\` when it serves; SIGTERM drains and ends it, SIGHUP reads
files and the identity's directory again.

Example:
  countersign tunnel server --identity db --listen 0.0.0.0:5433 --target unix:/run/postgresql/.s.PGSQL.5432 \\
    --allow-uri spiffe://example.com/ns/prod/*`;

function wishOf(options: ServerOptions, common: CommonWish): TunnelServerWish {
  const listen = parseTunnelAddress(options.listen, '--listen');
  if ('path' in listen) {
    throw usage(`--listen "${options.listen}": a server listens on HOST:PORT; mTLS is for others`);
  }
  const target = parseTunnelAddress(options.target, '--target');
  if (options.unsafeTarget !== true && !isLocal(target)) {
    throw usage(
      `--target "${options.target}": it is not of this machine, and what is sent there is in clear text`,
      'name unix:PATH or localhost:PORT, or add --unsafe-target',
    );
  }
  const { proxyProtocol, proxyProtocolMode } = options;
  if (proxyProtocol === true && proxyProtocolMode !== undefined) {
    throw usage('--proxy-protocol and --proxy-protocol-mode are given, expected one of both');
  }
  const told = proxyProtocol === true ? 'conn' : proxyProtocolMode;
  return {
    ...{ ...common, listen, target, clients: clientsOf(options) },
    ...(told !== undefined && { proxyProtocol: proxyModes[told] }),
  };
}

function clientsOf(options: ServerOptions): TunnelServerWish['clients'] {
  const { allowCn, allowOu, allowDns, allowIp, allowUri, allowAll, disableAuthentication } =
    options;
  const lists = { cn: allowCn, ou: allowOu, dns: allowDns, ip: allowIp, uri: allowUri };
  const patterns = patternsOf(lists, '--allow');
  const given = [
    ...(disableAuthentication === true ? ['--disable-authentication'] : []),
    ...(allowAll === true ? ['--allow-all'] : []),
    ...(patterns.length > 0 ? ['--allow-…'] : []),
  ];
  if (given.length > 1) throw usage(`${given.join(' and ')} are given, expected one of them`);
  if (disableAuthentication === true) return 'anybody';
  if (allowAll === true) return 'verified';
  if (patterns.length > 0) return patterns;
  throw usage(
    'nobody is let in',
    'say who: --allow-uri, -dns, -ip, -cn, -ou, --allow-all or --disable-authentication',
  );
}

function usage(reason: string, hint?: string): CountersignError {
  return new CountersignError('ERR_USAGE', `tunnel server: ${reason}`, {
    ...(hint !== undefined && { hint }),
  });
}
