import { dirname, resolve } from 'node:path';
import { parseRouterConfig, type ReadFiles, type RouterConfig } from '@countersign/router';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';

export interface RouterFilesOptions {
  readonly config: string;
  readonly port?: number;
}

/**
 * `router.yaml` with what the command line says instead of it; paths in it become relative to where the command runs.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readRouterFiles(
  cli: Cli,
  { config: file, port }: RouterFilesOptions,
): Promise<RouterConfig> {
  const text = Buffer.from(await readInput(cli, file, 'router')).toString('utf8');
  const config = parseRouterConfig(text, file, cli.env);
  const read = placedBeside(config, file);
  // A page for trying things out is for where things are tried out.
  const hidesPage = read.landing_page === true && cli.env.NODE_ENV === 'production';
  const placed = hidesPage ? { ...read, landing_page: false } : read;
  return port === undefined ? placed : { ...placed, listen: { ...placed.listen, port } };
}

/** Reads files that `router.yaml` names. */
export function routerReader(cli: Cli): ReadFiles {
  return {
    readText: async (path) => Buffer.from(await readInput(cli, path, 'router')).toString('utf8'),
    readBytes: (path) => readInput(cli, path, 'router'),
  };
}

/**
 * For `check`: the file, and the supergraph as far as files tell it.
 *
 * @returns notes for the operator
 */
export async function checkRouterFiles(cli: Cli, text: string, file: string): Promise<string[]> {
  const config = placedBeside(parseRouterConfig(text, file, cli.env), file);
  const notes: string[] = [];
  if (!config.mtls.enabled) notes.push('mtls.enabled is false: subgraphs are called in plaintext');
  if (config.mtls.allow_fallback) notes.push('mtls.allow_fallback is refused in production');
  const { checkKeySet, checkSupergraph } = await import('@countersign/router');
  notes.push(...(await checkKeySet(config, routerReader(cli))));
  const isOfFiles =
    config.supergraph !== undefined ||
    config.subgraphs.every(({ schema, grpc }) => (schema ?? grpc?.descriptor_set) !== undefined);
  if (!isOfFiles)
    return [...notes, 'the supergraph is composed of what the subgraphs say, unchecked here'];
  return [...notes, ...(await checkSupergraph(config, routerReader(cli)))];
}

function placedBeside(config: RouterConfig, file: string): RouterConfig {
  const at = (path: string) => (file === '-' ? path : resolve(dirname(file), path));
  const placed = <K extends string>(key: K, path: string | undefined) =>
    path === undefined ? {} : ({ [key]: at(path) } as { [P in K]: string });
  const { mtls, authority, jwt, persisted_operations: persisted } = config;
  return {
    ...config,
    ...placed('supergraph', config.supergraph),
    mtls: {
      ...mtls,
      ...placed('ca_cert_path', mtls.ca_cert_path),
      ...placed('ca_key_path', mtls.ca_key_path),
      ...placed('trust_bundle_path', mtls.trust_bundle_path),
    },
    subgraphs: config.subgraphs.map((each) => ({
      ...each,
      ...placed('schema', each.schema),
      ...(each.grpc !== undefined && {
        grpc: { ...each.grpc, ...placed('descriptor_set', each.grpc.descriptor_set) },
      }),
    })),
    ...(jwt !== undefined && {
      jwt: {
        ...jwt,
        jwks: /^https:/i.test(jwt.jwks) ? jwt.jwks : at(jwt.jwks),
        ...placed('ca', jwt.ca),
      },
    }),
    ...(authority !== undefined && {
      authority: {
        ...authority,
        ...placed('identity', authority.identity),
        ...(authority.token?.startsWith('@') && { token: `@${at(authority.token.slice(1))}` }),
      },
    }),
    persisted_operations: { ...persisted, ...placed('safelist', persisted.safelist) },
  };
}
