import { isIP } from 'node:net';
import {
  type ConfigPath,
  configIssue,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import type { ClusterModel, UpstreamTlsModel } from '../model/cluster-model.ts';
import { usualRing } from '../upstream/balancer.ts';
import { envoyHealthOf } from './compile-envoy-health.ts';
import { envoyPoolOf } from './compile-envoy-pool.ts';
import type { WrittenCluster } from './envoy-cluster-schema.ts';
import type { EnvoyCredentials } from './envoy-credentials.ts';

export interface ClusterAround {
  readonly document: SourceDocument;
  readonly path: ConfigPath;
  readonly credentials: EnvoyCredentials;
}

const balancings = {
  ROUND_ROBIN: 'round-robin',
  LEAST_REQUEST: 'least-request',
  RANDOM: 'random',
  RING_HASH: 'ring-hash',
} as const;

/** @param isTunnel whether its connections carry bytes that nobody here reads. @throws ConfigError */
export function compileEnvoyCluster(cluster: WrittenCluster, around: ClusterAround): ClusterModel {
  const { document, path } = around;
  const written = cluster.load_assignment.endpoints.flatMap((group) => group.lb_endpoints);
  const endpoints = written.map(({ endpoint, load_balancing_weight: weight = 1 }, i) => {
    const { address: host, port_value: port } = endpoint.address.socket_address;
    if (cluster.type === 'STATIC' && isIP(host) === 0) {
      const at = [...path, 'load_assignment'];
      const message = `${at.join('.')}: "${host}" of lb_endpoints ${i} is no IP address, as type STATIC has them`;
      throw configIssue(document, at, 'ERR_CONFIG_VALUE', message);
    }
    return {
      host,
      port,
      weight,
      ...(endpoint.hostname !== undefined && { name: endpoint.hostname }),
    };
  });
  const tls = cluster.transport_socket && tlsOf(cluster, around);
  return {
    ...{ name: cluster.name, endpoints, protocol: versionOf(cluster) },
    discovery: cluster.type === 'STRICT_DNS' ? 'addresses' : 'name',
    ...{
      dnsRefreshMs: Math.max(1, cluster.dns_refresh_rate),
      balancing: balancings[cluster.lb_policy],
    },
    ...(cluster.respect_dns_ttl === true && { dnsFollowsTtl: true }),
    ...ringOf(cluster),
    ...envoyHealthOf(cluster),
    ...familyOf(cluster),
    ...(tls !== undefined && { tls }),
    connectTimeoutMs: cluster.connect_timeout,
    ...{ headersTimeoutMs: 300_000, idleTimeoutMs: 300_000 },
    ...envoyPoolOf(cluster),
  };
}

function ringOf({
  lb_policy,
  ring_hash_lb_config: ring,
}: WrittenCluster): Pick<ClusterModel, 'ring'> {
  if (lb_policy !== 'RING_HASH') return {};
  const { minimum_ring_size: least = usualRing.minSize, maximum_ring_size: most } = ring ?? {};
  return { ring: { minSize: least, maxSize: most ?? usualRing.maxSize } };
}

function familyOf({ dns_lookup_family: family }: WrittenCluster): Pick<ClusterModel, 'dnsFamily'> {
  if (family === 'V4_ONLY') return { dnsFamily: 4 };
  return family === 'V6_ONLY' ? { dnsFamily: 6 } : {};
}

function versionOf(cluster: WrittenCluster): 'h1' | 'h2' | 'auto' {
  const options =
    cluster.typed_extension_protocol_options?.[
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
    ];
  if (options?.auto_config !== undefined) return 'auto';
  const isH2 =
    options?.explicit_http_config?.http2_protocol_options ?? cluster.http2_protocol_options;
  return isH2 === undefined ? 'h1' : 'h2';
}

function tlsOf(
  { transport_socket: socket }: WrittenCluster,
  around: ClusterAround,
): UpstreamTlsModel {
  const { document, credentials } = around;
  const path = [...around.path, 'transport_socket', 'typed_config', 'common_tls_context'];
  const { sni, common_tls_context: common } = (socket as NonNullable<typeof socket>).typed_config;
  const { tls_certificates: [certificate] = [], validation_context: validation } = common;
  if (validation?.trusted_ca === undefined) {
    const message = `${path.join('.')}.validation_context.trusted_ca: missing, an upstream that nobody vouches for is not talked to`;
    throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
  }
  const { cipher_suites: ciphers, ecdh_curves: groups } = common.tls_params ?? {};
  const undone = {
    cipher_suites: ciphers,
    ecdh_curves: groups,
    ocsp_staple: certificate?.ocsp_staple,
  };
  for (const [key, value] of Object.entries(undone)) {
    if (value !== undefined) throw unsupported(document, [...path, key], `${key} of an upstream`);
  }
  const minVersion = common.tls_params?.tls_minimum_protocol_version;
  return {
    identity: certificate === undefined ? 'none' : { name: credentials.identity(certificate) },
    trust: { name: credentials.trust(validation) },
    // As in Envoy, none is sent unless it is written.
    serverName: sni ?? '',
    expect: credentials.expectation(validation) ?? {},
    ...(minVersion === 'TLSv1_3' && { minVersion: 'TLSv1.3' }),
  };
}
