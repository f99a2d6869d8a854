import { dirname, resolve } from 'node:path';
import { type AuthorizationPolicy, readIstioPolicies } from '@countersign/authz';
import { parseYamlDocuments, type SourceDocument, unsupported } from '@countersign/config';
import {
  compileIstio,
  type GatewayConfig,
  gatewayConfigOf,
  isRoutingDocument,
  parseGatewayConfig,
} from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';

/** What a gateway's configuration says, in whatever language it is written. */
export interface ReadConfig {
  readonly config: GatewayConfig;
  /** Policies among Istio's documents. */
  readonly policies: readonly AuthorizationPolicy[];
  /** What is not wrong, and may not be what was meant. */
  readonly notes: readonly string[];
}

/** A mesh's documents in one file may be many. */
const limits = { maxBytes: 32 * 1024 * 1024, maxDocuments: 20_000, maxAliasCount: 10_000 };

/**
 * Reads a gateway's configuration: gateway.yaml, with the documents of Istio that it names, or such documents by
 * themselves.
 *
 * @throws ConfigError, CountersignError ERR_FILE
 */
export async function readGatewayConfig(cli: Cli, text: string, file: string): Promise<ReadConfig> {
  if (isIstio(text, file)) return withIstio(undefined, parseYamlDocuments(text, file, limits));
  const config = parseGatewayConfig(text, file);
  if (config.istio.length === 0) return { config, policies: [], notes: [] };
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

function isIstio(text: string, file: string): boolean {
  const [first] = parseYamlDocuments(text, file, limits);
  return 'apiVersion' in Object(first?.value);
}

function withIstio(
  written: GatewayConfig | undefined,
  documents: readonly SourceDocument[],
): ReadConfig {
  const routing = documents.filter(isRoutingDocument);
  const others = documents.filter((each) => !isRoutingDocument(each));
  const odd = others.find(({ value }) => Object(value).kind !== 'AuthorizationPolicy');
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
  return { config, policies: readIstioPolicies(others).authorization, notes };
}
