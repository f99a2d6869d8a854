import { dirname, resolve } from 'node:path';
import { joinPolicies, type PeerAuthentication, parseIstioPolicies } from '@countersign/authz';
import { CountersignError } from '@countersign/base';
import {
  modesOf,
  parseSidecarConfig,
  type SidecarConfig,
  withFirstPort,
} from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { type GatewayFiles, type GatewayFilesOptions, readRoles } from '../serve/gateway-files.ts';
import { readText } from '../serve/gateway-languages.ts';

export interface SidecarFiles extends GatewayFiles {
  readonly sidecar: SidecarConfig;
  /** What each inbound port takes, by the name of its listener. */
  readonly modes: ReturnType<typeof modesOf>;
}

/**
 * sidecar.yaml with what the command line says instead of it, and the policies of both. Read again for a reload.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readSidecarFiles(
  cli: Cli,
  options: GatewayFilesOptions,
): Promise<SidecarFiles> {
  const text = await readText(cli, options.config);
  return filesOf(cli, text, options);
}

/** The same of a text that was read before. */
export async function filesOf(
  cli: Cli,
  text: string,
  options: GatewayFilesOptions,
): Promise<SidecarFiles> {
  const { port, adminPort } = options;
  const sidecar = parseSidecarConfig(text, options.config);
  const written = sidecar.gateway;
  const admin = { address: '127.0.0.1', ...written.admin };
  const config = {
    ...(port === undefined ? written : withFirstPort(written, port)),
    ...(adminPort !== undefined && { admin: { ...admin, port: adminPort } }),
  };
  const beside = written.policies.map((path) => resolve(dirname(options.config), path));
  const typed = (options.policy ?? []).map((path) => resolve(path));
  const read = await Promise.all(
    [...new Set([...beside, ...typed])].map(async (path) =>
      parseIstioPolicies(await readText(cli, path), path),
    ),
  );
  const { authorization, tokens, peers, gateways } = joinPolicies(read);
  const [odd] = gateways;
  if (odd !== undefined) {
    const { line, column } = odd.position;
    const what = 'a Gateway is no policy of a sidecar';
    const at = `${odd.file}:${line}:${column}`;
    throw new CountersignError('ERR_CONFIG_UNSUPPORTED', `${at}: ${what}`);
  }
  return {
    ...{ sidecar, config, policies: authorization, tokens, needsIdentity: true },
    roles: await readRoles(cli, written, options),
    modes: modesOf(sidecar.written, peers),
    notes: notesOf(sidecar, peers),
  };
}

/** What differs from what the same words mean to Istio. */
function notesOf(
  { written }: SidecarConfig,
  peers: readonly PeerAuthentication[],
): readonly string[] {
  const modes = [...modesOf(written, peers)];
  return modes.flatMap(([listener, { mode, by }]) => {
    if (mode === 'STRICT') return [];
    const what = mode === 'DISABLE' ? 'takes plaintext alone' : 'takes plaintext beside mTLS';
    return [`${listener} ${what}, as ${by} says`];
  });
}
