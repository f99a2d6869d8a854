import { dirname, resolve } from 'node:path';
import {
  type AuthorizationPolicy,
  compileRules,
  parseAuthorizationPolicies,
  type RuleSet,
} from '@countersign/authz';
import { type GatewayConfig, parseGatewayConfig } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';

export interface GatewayFilesOptions {
  readonly config: string;
  readonly policy?: readonly string[];
  readonly port?: number;
  readonly adminPort?: number;
}

export interface GatewayFiles {
  readonly config: GatewayConfig;
  readonly rules: RuleSet;
  /** How many policies they are made of; with none, everybody of the trust domain is allowed (Istio's semantics). */
  readonly policies: number;
}

/**
 * `gateway.yaml` with what the command line says instead of it, and the policies of both. Read again for a reload.
 *
 * @throws ConfigError, CountersignError ERR_FILE, ERR_AUTHZ_TWICE
 */
export async function readGatewayFiles(
  cli: Cli,
  options: GatewayFilesOptions,
): Promise<GatewayFiles> {
  const { port, adminPort } = options;
  const written = parseGatewayConfig(await readText(cli, options.config), options.config);
  const admin = { address: '127.0.0.1', ...written.admin };
  const [first, ...others] = written.listeners;
  const config: GatewayConfig = {
    ...written,
    ...(port !== undefined && { listeners: [{ ...first, port }, ...others] }),
    ...(adminPort !== undefined && { admin: { ...admin, port: adminPort } }),
  };
  const policies = await readPolicies(cli, written, options);
  return { config, rules: compileRules(policies), policies: policies.length };
}

/**
 * The policies that a gateway's file names, and those of the command line. Paths in a file are relative to it, paths on
 * the command line to where it was typed.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readPolicies(
  cli: Cli,
  written: Pick<GatewayConfig, 'policies'>,
  options: Pick<GatewayFilesOptions, 'config' | 'policy'>,
): Promise<AuthorizationPolicy[]> {
  const beside = written.policies.map((path) => resolve(dirname(options.config), path));
  const typed = (options.policy ?? []).map((path) => resolve(path));
  const policies: AuthorizationPolicy[] = [];
  for (const path of new Set([...beside, ...typed])) {
    policies.push(...parseAuthorizationPolicies(await readText(cli, path), path));
  }
  return policies;
}

async function readText(cli: Cli, path: string): Promise<string> {
  return Buffer.from(await readInput(cli, path, 'read configuration')).toString('utf8');
}
