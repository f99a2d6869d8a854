import {
  type ConfigPath,
  configIssue,
  parseConfigText,
  readDocument,
  type SourceDocument,
} from '@countersign/config';
import { checkRevocationConfig } from '@countersign/revocation';
import { parseTrustDomain, spiffeIdOf } from '@countersign/spiffe';
import { z } from 'zod';
import { type Environment, withEnvironment } from './environment.ts';
import { routerSchema } from './router-config-schema.ts';

/** `router.yaml`, read and checked. Durations are milliseconds, sizes bytes; paths are as written. */
export type RouterConfig = z.output<typeof routerSchema>;
export type SubgraphConfig = RouterConfig['subgraphs'][number];
export type TelemetryConfig = RouterConfig['telemetry'];
export type GrpcConfig = NonNullable<SubgraphConfig['grpc']>;
export type RouterLimits = RouterConfig['limits'];

/**
 * Reads `router.yaml`. Relative paths in it are left as written: they are relative to the file.
 *
 * @param file as the operator named it, for messages
 * @throws ConfigError with every issue of the schema, or the first across keys
 */
export function parseRouterConfig(text: string, file: string, env: Environment): RouterConfig {
  const document = withEnvironment(parseConfigText(text, file), env);
  const config = readDocument(routerSchema, document);
  checkMtls(document, config);
  checkSources(document, config);
  checkTelemetry(document, config);
  checkJwt(document, config);
  config.subgraphs.forEach((_, index) => void checkSubgraph(document, config, index));
  return config;
}

/** JSON Schema (2020-12) of `router.yaml`, for editors. */
export function routerJsonSchema(): object {
  return z.toJSONSchema(routerSchema, { io: 'input', unrepresentable: 'any' });
}

/** Who must answer at a subgraph: what is stated, or the identity that its name stands for. */
export function expectedIds(config: RouterConfig, name: string): readonly string[] {
  const subgraph = config.subgraphs.find((each) => each.name === name);
  if (subgraph?.spiffe_id !== undefined) return [subgraph.spiffe_id].flat();
  const { mtls } = config;
  const domain = subgraph?.mtls.trust_domain ?? mtls.trust_domain;
  const namespace = subgraph?.mtls.namespace ?? mtls.namespace;
  return [`spiffe://${domain}/ns/${namespace}/sa/${subgraph?.mtls.service_name ?? name}`];
}

function checkMtls(document: SourceDocument, config: RouterConfig): void {
  const { mtls, authority, listen } = config;
  checkTrustDomain(document, ['mtls', 'trust_domain'], mtls.trust_domain);
  if ((mtls.ca_cert_path === undefined) !== (mtls.ca_key_path === undefined)) {
    const missing = mtls.ca_key_path === undefined ? 'ca_key_path' : 'ca_cert_path';
    fail(document, ['mtls'], `one half of the local authority is missing, "${missing}"`);
  }
  if (listen.client_mtls !== 'off' && !mtls.enabled) {
    fail(document, ['listen', 'client_mtls'], 'needs an identity, and "mtls.enabled" is false');
  }
  checkIssuer(document, config);
  if (config.revocation !== undefined) {
    if ((authority?.url ?? config.issuer) === undefined) {
      fail(document, ['revocation'], 'needs "authority.url" or "issuer"');
    }
    checkRevocationConfig(document, ['revocation'], config.revocation);
  }
  if (authority === undefined) return;
  if (mtls.ca_cert_path !== undefined) {
    fail(document, ['authority'], '"mtls.ca_cert_path" names a local authority already');
  }
  if (authority.workload_api !== undefined) {
    for (const key of ['url', 'token', 'identity'] as const) {
      if (authority[key] === undefined) continue;
      fail(document, ['authority', key], 'the identity is that of "workload_api"');
    }
    return;
  }
  if (authority.spiffe_id !== undefined) {
    fail(document, ['authority', 'spiffe_id'], 'chooses among those of a "workload_api"');
  }
  if (authority.url === undefined && authority.identity === undefined) {
    fail(document, ['authority'], '"url", "identity" or "workload_api" is missing');
  }
  if (authority.url !== undefined && (authority.token ?? authority.identity) === undefined) {
    fail(document, ['authority'], '"token" or "identity" is missing beside "url"');
  }
}

function checkIssuer(
  document: SourceDocument,
  { issuer, authority, mtls, revocation }: RouterConfig,
): void {
  if (issuer === undefined) return;
  if (authority !== undefined) fail(document, ['issuer'], '"authority" is there as well');
  if (mtls.ca_cert_path !== undefined) {
    fail(document, ['issuer'], '"mtls.ca_cert_path" names a local authority already');
  }
  const written = Object((document.value as { readonly mtls?: unknown } | null)?.mtls);
  const idle = ['service_name', 'cert_ttl_secs'].find((key) => key in written);
  if (idle !== undefined) {
    fail(document, ['mtls', idle], 'is for an authority of ours; "issuer" says what is asked for');
  }
  if (revocation?.method.includes('feed') === false) return;
  const path = revocation === undefined ? ['issuer'] : ['revocation'];
  const what = revocation === undefined ? '"revocation" is missing, and its' : 'its';
  fail(
    document,
    path,
    `${what} method feed is of a Countersign authority; choose crl, ocsp, staple or lifetime`,
  );
}

function checkJwt(document: SourceDocument, { jwt }: RouterConfig): void {
  if (jwt === undefined || /^https:/i.test(jwt.jwks)) return;
  if (/^[a-z]+:\/\//i.test(jwt.jwks)) {
    fail(document, ['jwt', 'jwks'], `expected a path or https://…, found "${jwt.jwks}"`);
  }
  if (jwt.ca !== undefined) fail(document, ['jwt', 'ca'], 'is for a URL, "jwks" is a path');
}

function checkTelemetry(document: SourceDocument, config: RouterConfig): void {
  const { otlp } = config.telemetry;
  if (otlp === undefined) return;
  const { protocol, hostname } = new URL(otlp.endpoint);
  const isNear = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  if (protocol === 'http:' && !isNear && Object.keys(otlp.headers).length > 0) {
    const path = ['telemetry', 'otlp', 'headers'];
    fail(document, path, `would go to "${hostname}" in the clear, https:// is expected`);
  }
  const isPropagated = (rules: RouterConfig['headers']) =>
    rules.propagate.some((name) => name === 'traceparent' || name === 'tracestate');
  const reason = 'hands on "traceparent", which "telemetry.otlp" does itself';
  if (isPropagated(config.headers)) fail(document, ['headers', 'propagate'], reason);
  config.subgraphs.forEach(({ headers }, i) => {
    if (isPropagated(headers)) fail(document, ['subgraphs', i, 'headers', 'propagate'], reason);
  });
}

function checkSources(document: SourceDocument, { supergraph, subgraphs }: RouterConfig): void {
  if (supergraph === undefined && subgraphs.length === 0) {
    fail(document, [], '"supergraph" is missing, and there are no "subgraphs" to compose it from');
  }
  subgraphs.forEach(({ name, url, schema }, i) => {
    const first = subgraphs.findIndex((each) => each.name === name);
    if (first < i)
      fail(document, ['subgraphs', i, 'name'], `"${name}" is that of subgraphs.${first}`);
    if (supergraph === undefined && url === undefined) {
      fail(
        document,
        ['subgraphs', i],
        `"url" is missing, without "supergraph" nothing else says it`,
      );
    }
    if (supergraph !== undefined && schema !== undefined) {
      fail(document, ['subgraphs', i, 'schema'], 'is not read, "supergraph" is given');
    }
  });
}

function checkSubgraph(document: SourceDocument, config: RouterConfig, index: number): void {
  const subgraph = config.subgraphs[index];
  if (subgraph === undefined) return;
  const at = (...rest: (string | number)[]) => ['subgraphs', index, ...rest];
  if (subgraph.url !== undefined) {
    checkUrl(document, at('url'), subgraph.url, subgraph.grpc !== undefined);
  }
  if (subgraph.grpc !== undefined) {
    checkGrpc(document, at('grpc'), subgraph.grpc);
    if (subgraph.schema !== undefined) {
      fail(document, at('schema'), 'is not read, "grpc" describes the subgraph');
    }
  }
  const { trust_domain: domain } = subgraph.mtls;
  if (domain !== undefined) checkTrustDomain(document, at('mtls', 'trust_domain'), domain);
  for (const id of [subgraph.spiffe_id ?? []].flat()) {
    if (spiffeIdOf(id)?.toString() === id) continue;
    fail(
      document,
      at('spiffe_id'),
      `expected a SPIFFE ID such as spiffe://a.example/orders, found "${id}"`,
    );
  }
  if (subgraph.identity !== undefined && (config.authority ?? config.issuer) !== undefined) {
    const given = config.authority === undefined ? 'issuer' : 'authority';
    fail(document, at('identity'), `needs a local authority, "${given}" is given`);
  }
}

function checkUrl(document: SourceDocument, path: ConfigPath, text: string, isGrpc: boolean): void {
  const url = readSubgraphUrl(text, isGrpc);
  if (url?.username === '' && url.hash === '') return;
  const expected = isGrpc ? 'grpcs://host[:port]' : 'https://host[:port][/path]';
  fail(document, path, `expected ${expected}, found "${text}"`);
}

/** With gRPC `grpcs:` and `grpc:` stand for `https:` and `http:`, and there is no path; undefined: no URL of a subgraph. */
export function readSubgraphUrl(text: string, isGrpc: boolean): URL | undefined {
  const written = isGrpc ? text.replace(/^grpc(s?):/i, 'http$1:') : text;
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return undefined;
  return isGrpc && (url.pathname !== '/' || url.search !== '') ? undefined : url;
}

function checkGrpc(document: SourceDocument, path: ConfigPath, grpc: GrpcConfig): void {
  const isFile = grpc.descriptor_set !== undefined;
  if (isFile === grpc.reflection) {
    const found = isFile ? 'both are given' : 'neither is';
    fail(document, path, `"descriptor_set" or "reflection: true" is expected, ${found}`);
  }
}

function checkTrustDomain(document: SourceDocument, path: ConfigPath, text: string): void {
  try {
    parseTrustDomain(text);
  } catch (thrown) {
    fail(document, path, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function fail(document: SourceDocument, path: ConfigPath, message: string): never {
  const where = path.length === 0 ? '' : `${path.join('.')}: `;
  throw configIssue(document, path, 'ERR_CONFIG_VALUE', `${where}${message}`);
}
