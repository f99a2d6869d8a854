import { resolve } from 'node:path';
import { CountersignError, prepareDirectory } from '@countersign/base';
import {
  type GatewayConfig,
  type GatewayModel,
  gatewayConfigOf,
  isLocal,
  parseTunnelAddress,
  type TunnelWish,
} from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { openProofKey } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import type { GatewayFiles } from '../serve/gateway-files.ts';
import { type Running, runUntilSignal } from '../serve/long-running.ts';
import { createLog } from '../serve/pino-log.ts';
import { createPrometheusMeter } from '../serve/prometheus-meter.ts';
import { runGateway } from '../serve/run-gateway.ts';
import { type TunnelCredentials, tunnelCredentials } from './tunnel-credentials.ts';
import type { TunnelOptions } from './tunnel-options.ts';

/** What the two modes have in common, as a tunnel is compiled from. */
export type CommonWish = Omit<TunnelWish, 'listen' | 'target'>;

export interface TunnelMode {
  /** The verb, for messages. */
  readonly who: string;
  readonly isServer: boolean;
  readonly compile: (wish: CommonWish, from: TunnelCredentials['from']) => GatewayModel;
}

/** Runs a tunnel as the gateway that it is, until it is told to end. */
export async function runTunnel(cli: Cli, options: TunnelOptions, mode: TunnelMode): Promise<void> {
  const { who, isServer } = mode;
  const { timedReload, data, token, identity, ca } = options;
  // 1. What the flags mean: nothing is opened before all of them are understood.
  const credentials = await tunnelCredentials(cli, options, { who, isServer });
  const model = mode.compile(commonWish(options, credentials), credentials.from);
  const config = configOf(options, model, credentials);
  const log = createLog(cli, options.logLevel);
  if (isServer && options.disableAuthentication === true) {
    log.warn({}, 'clients are asked for no certificate: everybody who connects is passed on');
  }
  // 2. The tunnel.
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  if (data !== undefined)
    await prepareDirectory(data, `keep revocations in "${data}"`, { mode: 0o700 });
  const { proofKey } = await openProofKey(cli, options.proofKey, log);
  const needsIdentity = credentials.from === 'authority' || credentials.from === 'issuer';
  const files: GatewayFiles = { config, policies: [], roles: undefined, notes: [], needsIdentity };
  const running = await runGateway(
    {
      ...{ who, config: options.issuer ?? '.', read: async () => files },
      ...{ ...proofKey, ...(secret !== undefined && { token: secret }) },
      ...(identity !== undefined && { identity }),
      ...(ca !== undefined && { ca }),
      ...(data !== undefined && { data }),
      ...(timedReload !== undefined && { lookEveryMs: timedReload }),
    },
    { cli, log, meter: createPrometheusMeter() },
  );
  // 3. Until a signal, and read again at times.
  const over = new AbortController();
  if (timedReload !== undefined) void reloadEvery(cli, running, timedReload, over.signal);
  try {
    await runUntilSignal(cli, log, running);
  } finally {
    over.abort();
  }
}

function commonWish(options: TunnelOptions, credentials: TunnelCredentials): CommonWish {
  const { identity, trust } = credentials;
  const { connectTimeout, closeTimeout, maxConnLifetime } = options;
  return {
    connectTimeoutMs: connectTimeout,
    closeTimeoutMs: closeTimeout,
    maxLifetimeMs: maxConnLifetime === 0 ? undefined : maxConnLifetime,
    minVersion: 'TLSv1.2',
    ...(identity !== undefined && { identity }),
    ...(trust !== undefined && { trust }),
  };
}

function configOf(
  { connectTimeout, maxConcurrentConns = 10_000, shutdownTimeout, status }: TunnelOptions,
  model: GatewayModel,
  { from, issuer }: TunnelCredentials,
): GatewayConfig {
  // Only an authority of ours tells who is revoked; others' certificates end soon.
  const revocation = from === 'authority' ? {} : { method: ['lifetime' as const] };
  const usual = gatewayConfigOf(model, {
    revocation,
    ...(status !== undefined && { admin: statusAddress(status) }),
  });
  const limits = {
    ...usual.limits,
    maxConnections: maxConcurrentConns === 0 ? 1_000_000 : maxConcurrentConns,
    handshakeTimeout: connectTimeout,
    drainTimeout: shutdownTimeout,
  };
  return { ...usual, limits, ...(issuer !== undefined && { issuer }) };
}

function statusAddress(text: string): NonNullable<GatewayConfig['admin']> {
  if (text.startsWith('https://')) {
    const message = `--status "${text}": TLS is not done there; it is for this machine`;
    throw new CountersignError('ERR_USAGE', message);
  }
  const address = parseTunnelAddress(text.replace(/^http:\/\//, ''), '--status');
  if ('path' in address) return { address: '127.0.0.1', port: 0, socket: resolve(address.path) };
  if (!isLocal(address)) {
    const message = `--status "${text}": expected an address of this machine alone, such as 127.0.0.1`;
    throw new CountersignError('ERR_USAGE', message);
  }
  return { address: address.host, port: address.port };
}

/** A failure is logged by whoever keeps what there was. */
async function reloadEvery(
  { clock }: Cli,
  running: Running,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, { signal, ref: false }).catch(() => {});
    if (!signal.aborted) await running.reload().catch(() => {});
  }
}
