const idOf = (name: string) => `spiffe://example.test/${name}`;
const ext = 'type.googleapis.com/envoy.extensions';
const any = (type: string, fields: object = {}) => ({ '@type': `${ext}.${type}`, ...fields });
const address = (port: number, host = '127.0.0.1') => ({
  address: { socket_address: { address: host, port_value: port } },
});

/** A bootstrap of three listeners, and the clusters behind them. */
export function bootstrapOf(
  files: Readonly<Record<'ca' | 'crl' | 'cert' | 'key' | 'staple', string>>,
  ports: Readonly<Record<'edge' | 'clear' | 'tunnel', number>>,
  upstreams: Readonly<Record<'web' | 'tls' | 'mutual' | 'stranger' | 'dead', number>>,
): object {
  const ca = { filename: files.ca };
  const pair = {
    certificate_chain: { filename: files.cert },
    private_key: { filename: files.key },
  };
  const server = (validation?: object, required = false) => ({
    name: 'envoy.transport_sockets.tls',
    typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
      require_client_certificate: required,
      common_tls_context: {
        tls_params: {
          ...{ tls_minimum_protocol_version: 'TLSv1_2', ecdh_curves: ['P-256'] },
          cipher_suites: ['[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]'],
        },
        ...{
          tls_certificates: [{ ...pair, ocsp_staple: { filename: files.staple } }],
          alpn_protocols: ['h2', 'http/1.1'],
        },
        ...(validation !== undefined && { validation_context: validation }),
      },
    }),
  });
  const manager = (hosts: object[], more: object = {}) => ({
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: 'http',
      route_config: { virtual_hosts: hosts },
      http_filters: [
        { name: 'envoy.filters.http.router', typed_config: any('filters.http.router.v3.Router') },
      ],
      ...more,
    }),
  });
  const toWeb = [{ match: { prefix: '/' }, route: { cluster: 'web' } }];
  const every = { name: 'every', domains: ['*'], routes: toWeb };
  const client = (more: object, names?: object[], sni = 'orders.test') => ({
    name: 'envoy.transport_sockets.tls',
    typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
      sni,
      common_tls_context: {
        ...more,
        validation_context: {
          trusted_ca: ca,
          ...(names !== undefined && { match_typed_subject_alt_names: names }),
        },
      },
    }),
  });
  const cluster = (name: string, endpoints: object[], more: object = {}) => ({
    ...{ name, connect_timeout: '1s' },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: endpoints.map((endpoint) => ({ endpoint })) }],
    },
    ...more,
  });
  const exact = (san_type: string, text: string) => ({ san_type, matcher: { exact: text } });
  return {
    static_resources: {
      listeners: [
        {
          ...{ name: 'edge', ...address(ports.edge) },
          listener_filters: [
            {
              name: 'envoy.filters.listener.tls_inspector',
              typed_config: any('filters.listener.tls_inspector.v3.TlsInspector'),
            },
          ],
          filter_chains: [
            {
              filter_chain_match: { server_names: ['mutual.test'], transport_protocol: 'tls' },
              filters: [
                manager([every], {
                  forward_client_cert_details: 'SANITIZE_SET',
                  set_current_client_cert_details: { uri: true, subject: true, dns: true },
                }),
              ],
              transport_socket: server(
                {
                  ...{ trusted_ca: ca, crl: { filename: files.crl } },
                  match_typed_subject_alt_names: [
                    { san_type: 'URI', matcher: { exact: idOf('alice') } },
                    {
                      san_type: 'URI',
                      matcher: { safe_regex: { regex: 'spiffe://example\\.test/revoked' } },
                    },
                  ],
                },
                true,
              ),
            },
            {
              filter_chain_match: { server_names: ['rbac.test'] },
              filters: [manager([every], { http_filters: guarded })],
              transport_socket: server({ trusted_ca: ca }),
            },
            {
              filter_chain_match: { server_names: ['optional.test'] },
              filters: [manager([every])],
              transport_socket: server({ trusted_ca: ca }),
            },
            {
              filter_chain_match: { server_names: ['*.simple.test'] },
              filters: [manager([every])],
              transport_socket: server(),
            },
          ],
        },
        {
          name: 'clear',
          ...address(ports.clear),
          filter_chains: [{ filters: [manager(clearHosts())] }],
        },
        {
          ...{ name: 'tunnel', ...address(ports.tunnel) },
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.tcp_proxy',
                  typed_config: any('filters.network.tcp_proxy.v3.TcpProxy', {
                    stat_prefix: 'tcp',
                    cluster: 'web',
                  }),
                },
              ],
              transport_socket: server({ trusted_ca: ca }, true),
            },
          ],
        },
      ],
      clusters: [
        cluster('web', [address(upstreams.web)]),
        cluster('dead', [address(upstreams.dead)]),
        cluster('empty', []),
        cluster('half', [address(upstreams.dead), address(upstreams.web)]),
        cluster('dns', [address(upstreams.web, 'localhost')], {
          type: 'STRICT_DNS',
          dns_lookup_family: 'V4_ONLY',
        }),
        cluster('tls', [address(upstreams.tls)], {
          transport_socket: client({}, [exact('DNS', 'orders.test')]),
        }),
        cluster('mutual', [address(upstreams.mutual)], {
          transport_socket: client({ tls_certificates: [pair] }, [exact('URI', idOf('orders'))]),
        }),
        cluster('wrong-name', [address(upstreams.tls)], {
          transport_socket: client({}, [exact('URI', idOf('payments'))]),
        }),
        cluster('wrong-ca', [address(upstreams.stranger)], { transport_socket: client({}) }),
      ],
    },
  };
}

const rbac = (action: string, policies: object) => ({
  name: 'envoy.filters.http.rbac',
  typed_config: any('filters.http.rbac.v3.RBAC', { rules: { action, policies } }),
});
const named = (name: string) => ({ authenticated: { principal_name: { exact: idOf(name) } } });
const pathOf = (matcher: object) => ({ url_path: { path: matcher } });

const guarded = [
  rbac('DENY', {
    admin: {
      permissions: [pathOf({ prefix: '/admin' })],
      principals: [{ not_id: named('alice') }],
    },
    bad: {
      permissions: [{ any: true }],
      principals: [{ header: { name: 'x-bad', present_match: true } }],
    },
  }),
  rbac('ALLOW', {
    public: { permissions: [pathOf({ exact: '/public' })], principals: [{ any: true }] },
    readers: {
      permissions: [
        {
          and_rules: {
            rules: [
              { header: { name: ':method', string_match: { exact: 'GET' } } },
              { requested_server_name: { suffix: '.test' } },
              { destination_port_range: { start: 1, end: 65_536 } },
            ],
          },
        },
      ],
      principals: [{ or_ids: { ids: [named('alice'), named('revoked')] } }],
    },
    partners: {
      permissions: [
        { not_rule: { header: { name: ':path', string_match: { contains: 'secret' } } } },
      ],
      principals: [
        {
          and_ids: {
            ids: [
              { authenticated: { principal_name: { suffix: '.partner.test' } } },
              { direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } },
            ],
          },
        },
      ],
    },
    anybody: {
      permissions: [
        { or_rules: { rules: [pathOf({ safe_regex: { regex: '/members/[a-z]+' } })] } },
      ],
      principals: [{ authenticated: {} }],
    },
  }),
  { name: 'envoy.filters.http.router', typed_config: any('filters.http.router.v3.Router') },
];

function clearHosts(): object[] {
  const direct = (match: object, status: number) => ({ match, direct_response: { status } });
  const header = (name: string, more: object) => ({ headers: [{ name, ...more }] });
  const to = (prefix: string, more: object = {}) => ({
    match: { prefix: `/${prefix}` },
    route: { cluster: prefix, ...more },
  });
  const add = (key: string, value: string, action?: string) => ({
    header: { key, value },
    ...(action !== undefined && { append_action: action }),
  });
  return [
    {
      ...{ name: 'web', domains: ['web.test'] },
      request_headers_to_add: [add('x-host', 'vhost')],
      routes: [
        { match: { prefix: '/prefix' }, route: { cluster: 'web' } },
        direct({ path: '/exact' }, 203),
        direct({ prefix: '/caseless', case_sensitive: false }, 206),
        direct({ safe_regex: { regex: '/re/[0-9]+' } }, 207),
        direct({ path_separated_prefix: '/seg' }, 208),
        direct({ prefix: '/header', ...header('x-kind', { string_match: { exact: 'One' } }) }, 210),
        direct(
          {
            prefix: '/header',
            ...header('x-any', { string_match: { prefix: 'lo', ignore_case: true } }),
          },
          211,
        ),
        direct(
          {
            prefix: '/not',
            ...header('x-kind', { string_match: { exact: 'a' }, invert_match: true }),
          },
          212,
        ),
        direct({ prefix: '/absent', ...header('x-kind', { present_match: false }) }, 213),
        direct(
          {
            prefix: '/query',
            query_parameters: [{ name: 'mode', string_match: { exact: 'dry' } }],
          },
          214,
        ),
        direct(
          { prefix: '/query', query_parameters: [{ name: 'flag', present_match: true }] },
          215,
        ),
        direct(
          { prefix: '/method', ...header(':method', { string_match: { exact: 'POST' } }) },
          216,
        ),
        {
          match: { prefix: '/rewrite/' },
          route: { cluster: 'web', prefix_rewrite: '/new/', host_rewrite_literal: 'inner.test' },
        },
        {
          match: { prefix: '/regex/' },
          route: {
            cluster: 'web',
            regex_rewrite: {
              pattern: { regex: '^/regex/([^/]+)/([^/]+)$' },
              substitution: '/\\2-\\1',
            },
          },
        },
        {
          ...{ match: { path: '/headers' }, route: { cluster: 'web' } },
          request_headers_to_add: [
            add('x-set', 'ours', 'OVERWRITE_IF_EXISTS_OR_ADD'),
            add('x-add', 'ours'),
            add('x-if', 'ours', 'ADD_IF_ABSENT'),
          ],
          request_headers_to_remove: ['x-remove'],
          response_headers_to_add: [add('x-answered', 'yes')],
        },
        { match: { prefix: '/old' }, redirect: { https_redirect: true } },
        {
          match: { prefix: '/else' },
          redirect: {
            ...{ host_redirect: 'new.test', port_redirect: 8443, path_redirect: '/there' },
            ...{ response_code: 'PERMANENT_REDIRECT', strip_query: true },
          },
        },
        {
          match: { prefix: '/pre/' },
          redirect: { prefix_rewrite: '/post/', response_code: 'FOUND' },
        },
        {
          match: { prefix: '/direct' },
          direct_response: { status: 418, body: { inline_string: 'short and stout' } },
        },
        ...['dead', 'empty', 'dns', 'tls', 'mutual', 'wrong-name', 'wrong-ca'].map((name) =>
          to(name),
        ),
        to('half', {
          retry_policy: {
            ...{ retry_on: 'connect-failure', num_retries: 3 },
            retry_host_predicate: [
              {
                name: 'envoy.retry_host_predicates.previous_hosts',
                typed_config: any('retry.host.previous_hosts.v3.PreviousHostsPredicate'),
              },
            ],
            host_selection_retry_max_attempts: 5,
          },
        }),
        { match: { prefix: '/slow' }, route: { cluster: 'web', timeout: '0.3s' } },
        {
          match: { prefix: '/flaky' },
          route: { cluster: 'web', retry_policy: { retry_on: '5xx', num_retries: 2 } },
        },
      ],
    },
    { name: 'wild', domains: ['*.wild.test'], routes: [direct({ prefix: '/' }, 200)] },
    { name: 'wilder', domains: ['*.y.wild.test'], routes: [direct({ prefix: '/' }, 201)] },
    { name: 'prefixed', domains: ['www.*'], routes: [direct({ prefix: '/' }, 202)] },
    {
      name: 'tls',
      domains: ['tls.test'],
      require_tls: 'ALL',
      routes: [direct({ prefix: '/' }, 200)],
    },
  ];
}
