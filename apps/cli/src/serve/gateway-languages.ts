import { dirname, resolve } from 'node:path';
import {
  type AuthorizationPolicy,
  type RequestAuthentication,
  readIstioPolicies,
} from '@countersign/authz';
import {
  parseConfigText,
  parseYamlDocuments,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import {
  compileEnvoy,
  compileIstio,
  type GatewayConfig,
  gatewayConfigOf,
  isEnvoyBootstrap,
  isRoutingDocument,
  needsOwnIdentity,
  parseGatewayConfig,
} from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';

/** What a gateway's configuration says, in whatever language it is written. */
export interface ReadConfig {
  readonly config: GatewayConfig;
  /** Policies among Istio's documents. */
  readonly policies: readonly AuthorizationPolicy[];
  readonly tokens: readonly RequestAuthentication[];
  /** What is not wrong, and may not be what was meant. */
  readonly notes: readonly string[];
  /** Whether an authority's word is needed, or all is in the files that the configuration names. */
  readonly needsIdentity: boolean;
}

/** A mesh's documents in one file may be many. */
const limits = { maxBytes: 32 * 1024 * 1024, maxDocuments: 20_000, maxAliasCount: 10_000 };

/**
 * Reads a gateway's configuration: gateway.yaml, with the documents of Istio that it names, such documents by
 * themselves, or an Envoy static bootstrap.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readGatewayConfig(cli: Cli, text: string, file: string): Promise<ReadConfig> {
  const written = parseYamlDocuments(text, file, limits);
  const [first] = written;
  if (first !== undefined && isEnvoyBootstrap(first)) return ofEnvoy(parseConfigText(text, file));
  if ('apiVersion' in Object(first?.value)) return withIstio(undefined, written);
  const config = parseGatewayConfig(text, file);
  if (config.istio.length === 0) {
    return { config, policies: [], tokens: [], notes: [], needsIdentity: true };
  }
  const documents: SourceDocument[] = [];
  for (const each of config.istio) {
    const path = resolve(dirname(file), each);
    documents.push(...parseYamlDocuments(await readText(cli, path), path, limits));
  }
  return withIstio(config, documents);
}

export async function readText(cli: Cli, path: string): Promise<string> {
  return Buffer.from(await readInput(cli, path, 'read configuration')).toString('utf8');
}

function ofEnvoy(document: SourceDocument): ReadConfig {
  const { model, admin, limits: bounds, notes } = compileEnvoy(document);
  const usual = gatewayConfigOf(model);
  const config = { ...usual, admin, limits: { ...usual.limits, ...bounds } };
  return { config, policies: [], tokens: [], notes, needsIdentity: false };
}

function withIstio(
  written: GatewayConfig | undefined,
  documents: readonly SourceDocument[],
): ReadConfig {
  const routing = documents.filter(isRoutingDocument);
  const others = documents.filter((each) => !isRoutingDocument(each));
  const odd = others.find(({ value }) => !policyKinds.has(Object(value).kind));
  if (odd !== undefined) {
    throw unsupported(odd, ['kind'], `kind ${JSON.stringify(Object(odd.value).kind)} of a gateway`);
  }
  const gateway = routing.find(({ value }) => Object(value).kind === 'Gateway');
  if (written?.writesListeners === true && gateway !== undefined) {
    throw unsupported(gateway, ['kind'], 'a Gateway beside listeners of gateway.yaml');
  }
  const labels = written?.authorization.workload?.labels;
  const { model, notes } = compileIstio(routing, { base: written?.model, labels });
  const config = written === undefined ? gatewayConfigOf(model) : { ...written, model };
  const needsIdentity = written !== undefined || needsOwnIdentity(model);
  const { authorization: policies, tokens } = readIstioPolicies(others);
  return { config, policies, tokens, notes, needsIdentity };
}

const policyKinds: ReadonlySet<unknown> = new Set(['AuthorizationPolicy', 'RequestAuthentication']);
