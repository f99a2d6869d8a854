import { type GatewayServer, gatewaysOf, type IstioGateway } from '../policy/istio-gateway.ts';
import type { IstioPolicies } from '../policy/istio-policies.ts';
import type { MeshSettings } from '../policy/mesh-settings.ts';
import { mtlsOf } from '../policy/peer-authentication.ts';
import { gatewayNameLabel } from '../policy/policy-target.ts';
import { noNames, type PeerNames } from '../rules/rule-facts.ts';
import type { TableRequest, TableWorkload } from './authz-table.ts';

/** What a proxy's listener makes of a connection before any rule is asked. */
export type Admission =
  | {
      readonly ok: true;
      readonly role: 'sidecar' | 'edge';
      readonly protocol: 'http' | 'tcp';
      /** Undefined: nothing of TLS was ended here. */
      readonly names: PeerNames | undefined;
      readonly serverName: string;
    }
  | { readonly ok: false; readonly reason: string };

/**
 * Whether a listener as Istio sets it up would take the connection, and for what: a sidecar by PeerAuthentication and
 * the protocols of its ports, an edge by its Gateways.
 */
export function admitConnection(
  policies: IstioPolicies,
  mesh: MeshSettings,
  workload: TableWorkload,
  request: TableRequest,
): Admission {
  const gateways = gatewaysOf(policies.gateways, workload);
  if (gateways.length > 0) return admitToEdge(gateways, request);
  if (workload.labels[gatewayNameLabel] !== undefined) {
    return admitted('edge', protocolAsked(request), request, namesOf(request));
  }
  return admitToSidecar(policies, mesh, workload, request);
}

function admitToSidecar(
  policies: IstioPolicies,
  mesh: MeshSettings,
  workload: TableWorkload,
  request: TableRequest,
): Admission {
  const { principal, port } = request;
  const { mode, by } = mtlsOf(policies.peers, workload, port, mesh.rootNamespace);
  const because = by === undefined ? '' : `, as PeerAuthentication ${by} says`;
  if (principal === undefined && mode === 'STRICT') {
    return refused(`plaintext, and the port takes mTLS alone${because}`);
  }
  if (principal !== undefined && mode === 'DISABLE') {
    return refused(`mTLS, and the port takes plaintext alone${because}`);
  }
  const trustDomain = principal === undefined ? undefined : trustDomainOf(principal);
  const known = [mesh.trustDomain, ...mesh.trustDomainAliases];
  if (trustDomain !== undefined && !known.includes(trustDomain)) {
    const list = known.map((each) => `"${each}"`).join(', ');
    return refused(`a certificate of trust domain "${trustDomain}", the mesh has ${list}`);
  }
  const declared = port === undefined ? undefined : workload.ports.get(port);
  const protocol = declaredProtocol(declared) ?? protocolAsked(request);
  if (protocol === 'http' && request.method === undefined) {
    return refused(`no HTTP, and port ${port} is declared as ${declared}`);
  }
  return admitted('sidecar', protocol, request, namesOf(request));
}

function admitToEdge(gateways: readonly IstioGateway[], request: TableRequest): Admission {
  const { port } = request;
  const servers = gateways.flatMap((gateway) => gateway.servers);
  const onPort = port === undefined ? servers : servers.filter((server) => server.port === port);
  if (onPort.length === 0) return refused(`no Gateway of the workload listens on port ${port}`);
  const name = serverNameAsked(request);
  const server = onPort.find((each) => each.tls === 'none' || takesName(each, name));
  if (server === undefined) return refused(`no Gateway on port ${port} takes the name "${name}"`);
  if (server.protocol === 'http' && request.method === undefined) {
    return refused(`no HTTP, which the Gateway expects on port ${server.port}`);
  }
  return admitToServer(server, request);
}

function admitToServer(server: GatewayServer, request: TableRequest): Admission {
  const { protocol, tls } = server;
  const hasCertificate = request.principal !== undefined;
  if (tls === 'none' && hasCertificate) return refused('mTLS, and the Gateway takes plaintext');
  if ((tls === 'mutual' || tls === 'mesh-mutual') && !hasCertificate) {
    return refused('no client certificate, which the Gateway requires');
  }
  // TLS without a certificate has at least a name that it asks for.
  if (tls !== 'none' && !hasCertificate && request.sni === undefined) {
    return refused('plaintext, and the Gateway takes TLS');
  }
  if (tls === 'none') return admitted('edge', protocol, { ...request, sni: undefined }, undefined);
  if (tls === 'passthrough') return admitted('edge', 'tcp', request, undefined);
  const named = { ...request, sni: serverNameAsked(request) };
  // The certificate that a client has but was not asked for is not seen.
  const isAsked = tls !== 'server';
  return admitted('edge', protocol, named, (isAsked ? namesOf(request) : undefined) ?? noNames);
}

function admitted(
  role: 'sidecar' | 'edge',
  protocol: 'http' | 'tcp',
  { sni }: TableRequest,
  names: PeerNames | undefined,
): Admission {
  // Plaintext HTTP has no handshake; what looks like raw TCP may be the caller's own TLS.
  const hasHandshake = names !== undefined || protocol === 'tcp';
  return { ok: true, role, protocol, names, serverName: hasHandshake ? (sni ?? '') : '' };
}

function refused(reason: string): Admission {
  return { ok: false, reason: `the listener refuses the connection: ${reason}` };
}

const scheme = 'spiffe://';

function namesOf({ principal }: TableRequest): PeerNames | undefined {
  if (principal === undefined) return undefined;
  const uri = principal.startsWith(scheme) ? principal : `${scheme}${principal}`;
  return { uris: [uri], dnsNames: [], subject: '' };
}

function trustDomainOf(principal: string): string {
  const bare = principal.startsWith(scheme) ? principal.slice(scheme.length) : principal;
  return bare.split('/', 1)[0] ?? '';
}

function protocolAsked({ method }: TableRequest): 'http' | 'tcp' {
  return method === undefined ? 'tcp' : 'http';
}

/** Undefined: the proxy looks into the connection. */
function declaredProtocol(declared: string | undefined): 'http' | 'tcp' | undefined {
  if (declared === undefined) return undefined;
  if (/^(?:http|http2|http_proxy|grpc|grpc-web)(?:-.*)?$/i.test(declared)) return 'http';
  return /^(?:tcp|tls|https|mongo|mysql|redis|udp)(?:-.*)?$/i.test(declared) ? 'tcp' : undefined;
}

function serverNameAsked({ sni, host }: TableRequest): string {
  return (sni ?? host?.replace(/:\d+$/, '') ?? '').toLowerCase();
}

function takesName({ hosts }: GatewayServer, name: string): boolean {
  return hosts.some((written) => {
    const host = written.toLowerCase();
    if (host === '*' || host === name) return true;
    return host.startsWith('*.') && name.endsWith(host.slice(1));
  });
}
