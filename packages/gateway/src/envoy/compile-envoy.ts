import { isIP } from 'node:net';
import {
  type ConfigPath,
  configIssue,
  readDocument,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import { cipherSuites } from '@countersign/mtls';
import type { GatewayLimits } from '../gateway-config.ts';
import type { ClusterModel } from '../model/cluster-model.ts';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { ChainModel, ListenerModel, ServerTlsModel } from '../model/listener-model.ts';
import type { RouteTableModel } from '../model/route-model.ts';
import { compileEnvoyCluster } from './compile-envoy-cluster.ts';
import { checkCluster, compileEnvoyRoutes } from './compile-envoy-routes.ts';
import {
  bootstrapSchema,
  type FilterChain,
  type HttpManager,
  type WrittenListener,
} from './envoy-bootstrap-schema.ts';
import { EnvoyCredentials } from './envoy-credentials.ts';
import { snakeCased } from './envoy-document.ts';
import { compileRateLimit } from './envoy-rate-limit.ts';
import { compileRbac } from './envoy-rbac.ts';
import type { CommonTlsContext } from './envoy-tls-schema.ts';

export interface CompiledEnvoy {
  readonly model: GatewayModel;
  readonly admin: { readonly address: string; readonly port: number } | undefined;
  readonly limits: Partial<GatewayLimits>;
  /** What is not wrong, and may not be what was meant. */
  readonly notes: readonly string[];
}

interface Around {
  readonly document: SourceDocument;
  readonly credentials: EnvoyCredentials;
  readonly clusters: ReadonlySet<string>;
  readonly tables: RouteTableModel[];
  readonly managers: HttpManager[];
  readonly tunnels: Map<string, number>;
  readonly notes: Set<string>;
}

/**
 * What an Envoy static bootstrap means to a gateway.
 *
 * @throws ConfigError with every field that is unknown or not done, by its place and path
 */
export function compileEnvoy(written: SourceDocument): CompiledEnvoy {
  const document = snakeCased(written);
  const { static_resources: resources, admin } = readDocument(bootstrapSchema, document);
  const credentials = new EnvoyCredentials();
  const around: Around = {
    ...{ document, credentials, tables: [], managers: [], tunnels: new Map(), notes: new Set() },
    clusters: new Set(resources.clusters.map(({ name }) => name)),
  };
  const listeners = resources.listeners.map((listener, i) => compileListener(listener, i, around));
  const clusters = resources.clusters.map((cluster, i) => {
    const path = ['static_resources', 'clusters', i];
    const twin = resources.clusters.findIndex(({ name }) => name === cluster.name);
    if (twin !== i) {
      const message = `${path.join('.')}.name: a second cluster "${cluster.name}"`;
      throw configIssue(document, [...path, 'name'], 'ERR_CONFIG_VALUE', message);
    }
    return compileEnvoyCluster(cluster, { document, path, credentials });
  });
  const [first, ...others] = listeners as [ListenerModel, ...ListenerModel[]];
  const at = admin?.address.socket_address;
  return {
    model: {
      listeners: [first, ...others],
      tables: around.tables,
      clusters: clusters.map((each) => withTunnelTimeout(each, around)),
      identities: [...credentials.identities.values()],
      trusts: [...credentials.trusts.values()],
    },
    admin: at && { address: at.address, port: at.port_value },
    limits: limitsOf(around.managers),
    notes: [...around.notes],
  };
}

/** The idle time-out of tunnels is a matter of who leads to the cluster. */
function withTunnelTimeout(cluster: ClusterModel, { tunnels }: Around): ClusterModel {
  const idleTimeoutMs = tunnels.get(cluster.name);
  return idleTimeoutMs === undefined ? cluster : { ...cluster, idleTimeoutMs };
}

function compileListener(listener: WrittenListener, index: number, around: Around): ListenerModel {
  const path = ['static_resources', 'listeners', index];
  const { address, port_value: port } = listener.address.socket_address;
  const issue = (at: ConfigPath, message: string) =>
    configIssue(
      around.document,
      [...path, ...at],
      'ERR_CONFIG_VALUE',
      `${[...path, ...at].join('.')}: ${message}`,
    );
  if (isIP(address) === 0) throw issue(['address'], `expected an IP address, found "${address}"`);
  const name = listener.name ?? `${address}:${port}`;
  const { filter_chains: written } = listener;
  const chains = written.map((chain, i) => {
    const own = written.length === 1 ? name : `${name} ${chain.name ?? i}`;
    return compileChain(chain, own, [...path, 'filter_chains', i], around);
  });
  const clear = chains.filter(({ tls }) => tls === undefined);
  if (clear.length > 0 && chains.length > 1) {
    throw issue(
      ['filter_chains'],
      'clear text beside another chain on one port is not done by this gateway',
    );
  }
  const names = chains.flatMap(({ serverNames }) =>
    serverNames.length === 0 ? ['*'] : serverNames,
  );
  const twice = names.find((each, i) => names.indexOf(each) !== i);
  if (twice !== undefined)
    throw issue(['filter_chains'], `two chains for the server name "${twice}"`);
  const paramsOf = ({ tls }: ChainModel) => JSON.stringify([tls?.minVersion, tls?.suites]);
  if (new Set(chains.map(paramsOf)).size > 1) {
    throw issue(['filter_chains'], 'different tls_params for server names of one port');
  }
  return { name, address, port, chains: chains as [ChainModel, ...ChainModel[]] };
}

function compileChain(
  chain: FilterChain,
  name: string,
  path: ConfigPath,
  around: Around,
): ChainModel {
  const { document, clusters, notes } = around;
  const { server_names: names = [], transport_protocol: transport } =
    chain.filter_chain_match ?? {};
  const tls = chain.transport_socket && tlsOf(chain, [...path, 'transport_socket'], around);
  const refuse = (at: ConfigPath, message: string) =>
    configIssue(
      document,
      [...path, ...at],
      'ERR_CONFIG_VALUE',
      `${[...path, ...at].join('.')}: ${message}`,
    );
  if (tls === undefined && (names.length > 0 || transport === 'tls')) {
    throw refuse(
      ['filter_chain_match'],
      'TLS that is not terminated here is not done by this gateway',
    );
  }
  if (tls !== undefined && transport === 'raw_buffer') {
    throw refuse(
      ['filter_chain_match', 'transport_protocol'],
      'raw_buffer, and a transport_socket of TLS',
    );
  }
  const shared = {
    ...{ name, serverNames: names.map((each) => each.toLowerCase()) },
    ...(tls !== undefined && { tls }),
  };
  const [filter] = chain.filters;
  const config = (filter as FilterChain['filters'][number]).typed_config;
  const at = [...path, 'filters', 0, 'typed_config'];
  if ('cluster' in config) {
    checkCluster(config.cluster, ['cluster'], { document, path: at, clusters });
    around.tunnels.set(config.cluster, config.idle_timeout ?? 3_600_000);
    return { ...shared, protocol: 'tcp', cluster: config.cluster };
  }
  if (config.http_filters === undefined || config.http_filters.length === 0) {
    notes.add(`${at.join('.')}: no http_filters, the router is assumed`);
  }
  around.managers.push(config);
  const stripsPorts = config.strip_any_host_port === true;
  const routes = { document, path: [...at, 'route_config'], clusters };
  around.tables.push(compileEnvoyRoutes(name, config.route_config, stripsPorts, routes));
  const alpn = chain.transport_socket?.typed_config.common_tls_context.alpn_protocols;
  return {
    ...{ ...shared, protocol: versionOf(config, alpn), table: name },
    identityHeaders: {
      mode: config.forward_client_cert_details,
      fields: config.set_current_client_cert_details ?? noFields,
    },
    logsAccess: (config.access_log?.length ?? 0) > 0,
    refusesUpgrades: !takesWebSockets(config),
    rateLimits: (config.http_filters ?? []).flatMap(({ typed_config: filter }, i) =>
      'token_bucket' in filter ? compileRateLimit(filter, `${name}.http_filters.${i}`) : [],
    ),
    rbac: (config.http_filters ?? []).flatMap(({ typed_config: filter }) =>
      'rules' in filter ? compileRbac(filter) : [],
    ),
  };
}

/** Where nothing is said none is taken, as in Envoy. */
function takesWebSockets({ upgrade_configs: written = [] }: HttpManager): boolean {
  return written.some(({ enabled = true }) => enabled);
}

const noFields = { subject: false, cert: false, chain: false, dns: false, uri: false };

/** Without ALPN nobody agrees to HTTP/2 over TLS; in clear text it is told by its preface. */
function versionOf({ codec_type: codec }: HttpManager, alpn: readonly string[] | undefined) {
  if (codec === 'HTTP1') return 'h1';
  if (codec === 'HTTP2') return 'h2';
  return alpn === undefined || alpn.includes('h2') ? 'auto' : 'h1';
}

function tlsOf(
  chain: FilterChain,
  path: ConfigPath,
  { document, credentials }: Around,
): ServerTlsModel {
  const { common_tls_context: common, require_client_certificate: isRequired } = (
    chain.transport_socket as NonNullable<FilterChain['transport_socket']>
  ).typed_config;
  const at = [...path, 'typed_config', 'common_tls_context'];
  const {
    tls_certificates: [certificate] = [],
    validation_context: validation,
    tls_params,
  } = common;
  const missing = (key: string, why: string) =>
    configIssue(document, at, 'ERR_CONFIG_VALUE', `${[...at, key].join('.')}: missing, ${why}`);
  if (certificate === undefined) throw missing('tls_certificates', 'a server shows a certificate');
  const trusts = validation?.trusted_ca !== undefined;
  if (!trusts && (isRequired || validation !== undefined)) {
    throw missing(
      'validation_context.trusted_ca',
      'client certificates that nobody vouches for are not taken',
    );
  }
  const expect = validation && credentials.expectation(validation);
  const suites = suitesOf(tls_params, [...at, 'tls_params'], document);
  return {
    clientAuth: isRequired ? 'require' : trusts ? 'request' : 'none',
    minVersion: tls_params?.tls_minimum_protocol_version === 'TLSv1_3' ? 'TLSv1.3' : 'TLSv1.2',
    identity: { name: credentials.identity(certificate) },
    trust: trusts ? { name: credentials.trust(validation) } : 'own',
    ...(expect !== undefined && { expect }),
    ...(suites !== undefined && { suites }),
  };
}

/** Of TLS 1.2; as in Envoy, those of 1.3 are not chosen from. */
function suitesOf(
  params: CommonTlsContext['tls_params'],
  path: ConfigPath,
  document: SourceDocument,
): ServerTlsModel['suites'] {
  const { cipher_suites: written, ecdh_curves: groups } = params ?? {};
  if (written === undefined && groups === undefined) return undefined;
  // In brackets those that are preferred alike: here the first is.
  const ciphers = written?.flatMap((each) => each.replaceAll(/[[\]]/g, '').split('|'));
  const odd = ciphers?.find((name) => !cipherSuites.includes(name) || name.startsWith('TLS_'));
  if (odd !== undefined) {
    const at = [...path, 'cipher_suites'];
    throw unsupported(
      document,
      at,
      `cipher suite "${odd}", which is none of TLS 1.2 with forward secrecy and AEAD,`,
    );
  }
  return { ...(ciphers !== undefined && { ciphers }), ...(groups !== undefined && { groups }) };
}

/** One gateway has one set of limits: of several, the widest; what is not written is Envoy's default. */
function limitsOf(managers: readonly HttpManager[]): Partial<GatewayLimits> {
  if (managers.length === 0) return {};
  const most = (pick: (manager: HttpManager) => number) => Math.max(...managers.map(pick));
  const times = (pick: (manager: HttpManager) => number) =>
    managers.some((each) => pick(each) === 0) ? 0 : most(pick);
  return {
    idleTimeout: most((each) => each.common_http_protocol_options?.idle_timeout ?? 3_600_000),
    stallTimeout: times((each) => each.stream_idle_timeout ?? 300_000),
    requestTimeout: times((each) => each.request_timeout ?? 0),
    headersTimeout: times((each) => each.request_headers_timeout ?? 10_000),
    maxHeaderBytes: most((each) => (each.max_request_headers_kb ?? 60) * 1024),
    maxConcurrentStreams: most(
      (each) => each.http2_protocol_options?.max_concurrent_streams ?? 100,
    ),
  };
}
