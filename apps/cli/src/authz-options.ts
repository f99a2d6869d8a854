import {
  defaultMesh,
  type IstioPolicies,
  joinPolicies,
  type MeshSettings,
  parseIstioPolicies,
  parseMeshSettings,
} from '@countersign/authz';
import { CountersignError } from '@countersign/base';
import { type Command, Option } from 'commander';
import type { Cli } from './cli.ts';
import { readInput } from './read-input.ts';

/** What every verb of `authz` is told of: policies and the mesh that they are for. */
export interface AuthzOptions {
  readonly policy?: readonly string[];
  readonly mesh?: string;
}

export function addAuthzOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--policy <file...>',
        'AuthorizationPolicy, PeerAuthentication, RequestAuthentication and Gateway documents',
      ),
    )
    .option(
      '--mesh <file>',
      "MeshConfig: trust domain, root namespace …; Istio's defaults without",
    );
}

/** @throws ConfigError, CountersignError ERR_FILE, ERR_USAGE where there is no policy file */
export async function readAuthzOptions(
  cli: Cli,
  attempted: string,
  { policy = [], mesh }: AuthzOptions,
): Promise<{ policies: IstioPolicies; mesh: MeshSettings }> {
  if (policy.length === 0) {
    throw new CountersignError('ERR_USAGE', `${attempted}: --policy is missing`);
  }
  const all: IstioPolicies[] = [];
  for (const file of new Set(policy)) {
    all.push(parseIstioPolicies(await readText(cli, file, attempted), file));
  }
  const settings =
    mesh === undefined
      ? defaultMesh
      : parseMeshSettings(await readText(cli, mesh, attempted), mesh);
  return { policies: joinPolicies(all), mesh: settings };
}

export async function readText(cli: Cli, file: string, attempted: string): Promise<string> {
  return Buffer.from(await readInput(cli, file, attempted)).toString('utf8');
}
