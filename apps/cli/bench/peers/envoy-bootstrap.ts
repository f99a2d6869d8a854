import { idOf, type PeerWorld, serverName } from './peer-world.ts';

const ext = 'type.googleapis.com/envoy.extensions';
const any = (type: string, fields: object = {}) => ({ '@type': `${ext}.${type}`, ...fields });
const address = (port: number) => ({
  address: { socket_address: { address: '127.0.0.1', port_value: port } },
});

/**
 * One document for Envoy and for Countersign, which reads it as it stands.
 *
 * @param overSds anchors and list come by SDS from a file, the one way in which Envoy reads a list again
 */
export function envoyBootstrap(
  world: PeerWorld,
  port: number,
  { overSds = false }: { readonly overSds?: boolean } = {},
): object {
  const { file } = world;
  const pair = {
    certificate_chain: { filename: file('chain.pem') },
    private_key: { filename: file('key.pem') },
  };
  const validation = {
    trusted_ca: { filename: file('root.pem') },
    crl: { filename: file('crl.pem') },
  };
  if (overSds) {
    const secret = {
      '@type': `${ext}.transport_sockets.tls.v3.Secret`,
      name: 'callers',
      validation_context: { ...validation, watched_directory: { path: world.directory } },
    };
    world.write('callers.json', JSON.stringify({ resources: [secret] }));
  }
  const callers = overSds
    ? {
        validation_context_sds_secret_config: {
          name: 'callers',
          sds_config: {
            resource_api_version: 'V3',
            path_config_source: { path: file('callers.json') },
          },
        },
      }
    : { validation_context: validation };
  const alice = { authenticated: { principal_name: { exact: idOf('alice') } } };
  const manager = any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'http',
    access_log: [
      {
        name: 'envoy.access_loggers.stdout',
        typed_config: any('access_loggers.stream.v3.StdoutAccessLog'),
      },
    ],
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { uri: true },
    route_config: {
      virtual_hosts: [
        {
          ...{ name: 'every', domains: ['*'] },
          routes: [{ match: { prefix: '/' }, route: { cluster: 'service' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.rbac',
        typed_config: any('filters.http.rbac.v3.RBAC', {
          rules: {
            action: 'ALLOW',
            policies: { alice: { permissions: [{ any: true }], principals: [alice] } },
          },
        }),
      },
      { name: 'envoy.filters.http.router', typed_config: any('filters.http.router.v3.Router') },
    ],
  });
  return {
    ...(overSds && { node: { id: 'bench', cluster: 'bench' } }),
    static_resources: {
      listeners: [
        {
          ...{ name: 'callers', ...address(port) },
          filter_chains: [
            {
              filters: [
                { name: 'envoy.filters.network.http_connection_manager', typed_config: manager },
              ],
              transport_socket: {
                name: 'envoy.transport_sockets.tls',
                typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
                  require_client_certificate: true,
                  common_tls_context: { tls_certificates: [pair], ...callers },
                }),
              },
            },
          ],
        },
      ],
      clusters: [
        {
          ...{ name: 'service', connect_timeout: '5s' },
          load_assignment: {
            cluster_name: 'service',
            endpoints: [{ lb_endpoints: [{ endpoint: address(world.upstreamPort) }] }],
          },
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
              sni: serverName,
              common_tls_context: {
                tls_certificates: [pair],
                validation_context: {
                  trusted_ca: { filename: file('root.pem') },
                  match_typed_subject_alt_names: [
                    { san_type: 'DNS', matcher: { exact: serverName } },
                  ],
                },
              },
            }),
          },
        },
      ],
    },
  };
}
