import { dirname, resolve } from 'node:path';
import {
  type AuthorizationPolicy,
  compileRules,
  type IstioPolicies,
  joinPolicies,
  type MeshSettings,
  meshSettingsOf,
  parseIstioPolicies,
  parseRoleMapping,
  type RequestAuthentication,
  type RoleMapping,
  type RuleSet,
  type TokenRule,
  tokenRulesOf,
  warnAboutPolicies,
} from '@countersign/authz';
import { CountersignError } from '@countersign/base';
import { type GatewayConfig, withFirstPort } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { readGatewayConfig, readText } from './gateway-languages.ts';

export interface GatewayFilesOptions {
  readonly config: string;
  readonly policy?: readonly string[];
  readonly port?: number;
  readonly adminPort?: number;
}

export interface GatewayFiles {
  readonly config: GatewayConfig;
  /** With none, everybody whom the handshake lets in is allowed, as in Istio. */
  readonly policies: readonly AuthorizationPolicy[];
  /** Whose tokens are believed; absent: nobody's are looked for. */
  readonly tokens?: readonly RequestAuthentication[];
  readonly roles: RoleMapping | undefined;
  /** What is not wrong with the configuration, and may not be what was meant. */
  readonly notes: readonly string[];
  /** Whether an authority's word is needed, or all is in the files that the configuration names. */
  readonly needsIdentity: boolean;
}

/**
 * The configuration with what the command line says instead of it, and the policies of both. Read again for a reload.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readGatewayFiles(
  cli: Cli,
  options: GatewayFilesOptions,
): Promise<GatewayFiles> {
  const { port, adminPort } = options;
  const text = await readText(cli, options.config);
  const read = await readGatewayConfig(cli, text, options.config);
  const written = read.config;
  const admin = { address: '127.0.0.1', ...written.admin };
  const config: GatewayConfig = {
    ...(port === undefined ? written : withFirstPort(written, port)),
    ...(adminPort !== undefined && { admin: { ...admin, socket: undefined, port: adminPort } }),
  };
  const beside = await readPolicies(cli, written, options);
  const policies = [...read.policies, ...beside.authorization];
  const tokens = [...read.tokens, ...beside.tokens];
  const roles = await readRoles(cli, written, options);
  return { config, policies, tokens, roles, notes: read.notes, needsIdentity: read.needsIdentity };
}

/** @throws ConfigError, CountersignError ERR_FILE */
export async function readRoles(
  cli: Cli,
  { authorization }: Pick<GatewayConfig, 'authorization'>,
  { config }: Pick<GatewayFilesOptions, 'config'>,
): Promise<RoleMapping | undefined> {
  if (authorization.roles === undefined) return undefined;
  const path = resolve(dirname(config), authorization.roles);
  return parseRoleMapping(await readText(cli, path), path);
}

/**
 * What the policies mean to a gateway of this trust domain.
 *
 * @throws CountersignError ERR_AUTHZ_TWICE, ERR_AUTHZ_WORKLOAD
 */
export function rulesOf({ config, policies }: RulesSource, trustDomain: string): RuleSet {
  const { workload, paths } = config.authorization;
  const mesh = meshOf(config, trustDomain);
  return compileRules(policies, { mesh, paths, ...(workload !== undefined && { workload }) });
}

/**
 * Whose tokens a gateway of this trust domain believes.
 *
 * @throws CountersignError ERR_AUTHZ_WORKLOAD
 */
export function believedTokens(
  { config, tokens = [] }: Pick<GatewayFiles, 'config' | 'tokens'>,
  trustDomain: string,
): readonly TokenRule[] {
  const { workload } = config.authorization;
  const mesh = meshOf(config, trustDomain);
  return tokenRulesOf(tokens, { mesh, ...(workload !== undefined && { workload }) });
}

/** What of the policies does not mean what it says, one line each. */
export function doubtsAbout({ config, policies, tokens = [] }: RulesSource, trustDomain: string) {
  const all = { authorization: policies, peers: [], tokens, gateways: [] };
  return warnAboutPolicies(all, meshOf(config, trustDomain));
}

/** Providers that CUSTOM policies ask and the configuration does not have: what they are about is denied. */
export function missingProviders({ config, policies }: RulesSource): readonly string[] {
  const there = new Set(config.authorization.providers.map(({ name }) => name));
  const asked = policies.flatMap(({ provider }) => provider ?? []);
  return [...new Set(asked)].filter((name) => !there.has(name));
}

type RulesSource = Pick<GatewayFiles, 'config' | 'policies' | 'tokens'>;

function meshOf(
  { authorization }: Pick<GatewayConfig, 'authorization'>,
  trustDomain: string,
): MeshSettings {
  return meshSettingsOf(authorization.mesh, trustDomain);
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
): Promise<Pick<IstioPolicies, 'authorization' | 'tokens'>> {
  const beside = written.policies.map((path) => resolve(dirname(options.config), path));
  const typed = (options.policy ?? []).map((path) => resolve(path));
  const read: IstioPolicies[] = [];
  for (const path of new Set([...beside, ...typed])) {
    const policies = parseIstioPolicies(await readText(cli, path), path);
    const [odd] = [...policies.peers, ...policies.gateways];
    if (odd !== undefined) {
      const { line, column } = odd.position;
      const what = `only AuthorizationPolicy and RequestAuthentication are policies of a gateway`;
      throw new CountersignError('ERR_CONFIG_UNSUPPORTED', `${path}:${line}:${column}: ${what}`);
    }
    read.push(policies);
  }
  return joinPolicies(read);
}
