import {
  type ConfigPath,
  configIssue,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { ChainModel, ListenerModel, ServerTlsModel } from '../model/listener-model.ts';
import type { RouteModel, RouteTableModel, VirtualHostModel } from '../model/route-model.ts';
import { coversHost, Destinations } from './compile-destination.ts';
import { compileHttpRoute } from './compile-http-route.ts';
import type { GatewayServer, GatewaySpec } from './gateway-schema.ts';
import { fullHost, type IstioDocument, isVisibleIn } from './istio-document.ts';
import { type IstioDocuments, readIstioDocuments } from './istio-documents.ts';
import type { VirtualServiceSpec } from './virtual-service-schema.ts';

export interface IstioOptions {
  /**
   * Where no document is a Gateway: the listeners there are, for whose HTTP the VirtualServices of `mesh` are; its tables
   * and clusters are added to.
   */
  readonly base?: GatewayModel | undefined;
  /** Labels of the workload that this is; a Gateway that selects others is passed over. Absent: all are for it. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

export interface CompiledIstio {
  readonly model: GatewayModel;
  /** What is not wrong, and may not be what was meant. */
  readonly notes: readonly string[];
}

type Gateway = IstioDocument<GatewaySpec>;
type VirtualService = IstioDocument<VirtualServiceSpec>;

/** The name that Istio has for every sidecar: here, for listeners that no Gateway document describes. */
const mesh = 'mesh';
const meshTable = 'istio';

/**
 * What Istio's documents mean to a gateway: Gateway gives listeners, VirtualService their routes, DestinationRule and
 * ServiceEntry the clusters.
 *
 * @throws ConfigError at the first field that asks for what is not done, or names what is not there
 */
export function compileIstio(
  sources: readonly SourceDocument[],
  { base, labels }: IstioOptions = {},
): CompiledIstio {
  // 1. read
  const documents = readIstioDocuments(sources);
  const { virtualServices } = documents;
  const gateways = documents.gateways.filter(({ spec }) => selects(spec.selector, labels));
  const destinations = new Destinations(documents);
  // 2. routes for listeners that are there already
  if (gateways.length === 0) {
    return compileMesh(documents, destinations, base, virtualServices[0] ?? documents.gateways[0]);
  }
  // 3. listeners, each with the routes that are bound to its servers
  checkBound(documents, gateways);
  const servers = gateways.flatMap((gateway) =>
    gateway.spec.servers.map((server, index) => ({ gateway, server, index })),
  );
  const tables: RouteTableModel[] = [];
  const ports = new Map<string, typeof servers>();
  for (const each of servers) {
    const key = `${each.server.bind ?? '0.0.0.0'} ${each.server.port.number}`;
    ports.set(key, [...(ports.get(key) ?? []), each]);
  }
  const listeners = [...ports.values()].map((together) =>
    compileListener(together, documents, destinations, tables),
  );
  const [first, ...others] = listeners as [ListenerModel, ...ListenerModel[]];
  const unused = virtualServices.filter(({ spec }) =>
    (spec.gateways ?? [mesh]).every((name) => name === mesh),
  );
  for (const { namespace, name } of unused) {
    destinations.notes.add(
      `VirtualService "${namespace}/${name}" is for sidecars, no gateway has its routes`,
    );
  }
  return finish({ listeners: [first, ...others], tables }, destinations);
}

interface Server {
  readonly gateway: Gateway;
  readonly server: GatewayServer;
  readonly index: number;
}

function finish(
  parts: Pick<GatewayModel, 'listeners' | 'tables'>,
  destinations: Destinations,
  base?: GatewayModel,
): CompiledIstio {
  const { clusters, identities, trusts, notes } = destinations;
  return {
    model: {
      ...parts,
      clusters: [...(base?.clusters ?? []), ...clusters.values()],
      identities: [...(base?.identities ?? []), ...identities.values()],
      trusts: [...(base?.trusts ?? []), ...trusts.values()],
    },
    notes: [...notes],
  };
}

function compileMesh(
  documents: IstioDocuments,
  destinations: Destinations,
  base: GatewayModel | undefined,
  at: IstioDocument<unknown> | undefined,
): CompiledIstio {
  if (base === undefined) {
    if (at === undefined) throw new TypeError('documents without a Gateway need listeners');
    const message = 'no document is a Gateway that this workload has listeners of';
    throw configIssue(at.source, ['kind'], 'ERR_CONFIG_VALUE', message);
  }
  checkBound(documents, []);
  const bound = documents.virtualServices.filter(({ spec }) =>
    (spec.gateways ?? [mesh]).includes(mesh),
  );
  const table = tableOf(meshTable, bound, ['*'], mesh, destinations);
  const listeners = base.listeners.map<ListenerModel>((listener) => {
    const chains = listener.chains.map<ChainModel>((chain) =>
      chain.protocol === 'tcp' ? chain : { ...chain, table: meshTable },
    );
    return { ...listener, chains: chains as [ChainModel, ...ChainModel[]] };
  });
  const [first, ...others] = listeners as [ListenerModel, ...ListenerModel[]];
  return finish({ listeners: [first, ...others], tables: [table] }, destinations, base);
}

/** A VirtualService that is bound to a Gateway that is not there would have no effect. */
function checkBound(
  { virtualServices, gateways: all }: IstioDocuments,
  gateways: readonly Gateway[],
): void {
  const known = new Set([...gateways, ...all].map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, spec, source } of virtualServices) {
    for (const [i, name] of (spec.gateways ?? []).entries()) {
      if (name === mesh || known.has(qualified(name, namespace))) continue;
      const message = `spec.gateways.${i}: no document is the Gateway "${qualified(name, namespace)}"`;
      throw configIssue(source, ['spec', 'gateways', i], 'ERR_CONFIG_VALUE', message);
    }
  }
}

function qualified(name: string, namespace: string): string {
  return name.includes('/') ? name : `${namespace}/${name}`;
}

function compileListener(
  together: readonly Server[],
  documents: IstioDocuments,
  destinations: Destinations,
  tables: RouteTableModel[],
): ListenerModel {
  const [first] = together as [Server, ...Server[]];
  const { bind = '0.0.0.0', port } = first.server;
  const name = `${first.gateway.namespace}/${first.gateway.name}:${port.number}`;
  const clear = together.filter(({ server }) => !isTls(server));
  if (clear.length > 0 && clear.length < together.length) {
    const odd = together.find(({ server }) => isTls(server) !== isTls(first.server)) ?? first;
    const message = 'a server with TLS on a port that another server has in clear text';
    throw configIssue(
      odd.gateway.source,
      ['spec', 'servers', odd.index],
      'ERR_CONFIG_VALUE',
      message,
    );
  }
  // In clear text nothing tells the servers of a port apart but the hosts of their routes.
  const groups = clear.length > 0 ? [clear] : together.map((each) => [each]);
  const chains = groups.map((group, i) =>
    compileChain(
      group,
      groups.length === 1 ? name : `${name} ${i}`,
      documents,
      destinations,
      tables,
    ),
  );
  const versions = new Set(chains.map(({ tls }) => tls?.minVersion));
  if (versions.size > 1) {
    const message = 'tls.minProtocolVersion: differs among the servers of one port';
    throw configIssue(
      first.gateway.source,
      ['spec', 'servers', first.index],
      'ERR_CONFIG_VALUE',
      message,
    );
  }
  return {
    name,
    address: bind,
    port: port.number,
    chains: chains as [ChainModel, ...ChainModel[]],
  };
}

function compileChain(
  group: readonly Server[],
  name: string,
  documents: IstioDocuments,
  destinations: Destinations,
  tables: RouteTableModel[],
): ChainModel {
  const [{ gateway, server, index }] = group as [Server, ...Server[]];
  const tls = isTls(server) ? tlsOf(gateway, server, index, destinations) : undefined;
  const names = isTls(server) ? server.hosts.map(withoutNamespace) : ['*'];
  const isEvery = names.includes('*');
  const shared = {
    ...{ name, serverNames: isEvery ? [] : names.map((each) => each.toLowerCase()) },
    ...(tls !== undefined && { tls }),
  };
  const odd = group.find((each) => isTcp(each.server) !== isTcp(server));
  if (odd !== undefined) {
    const message = 'a server of TCP and one of HTTP on the same port, in clear text';
    throw configIssue(
      odd.gateway.source,
      ['spec', 'servers', odd.index],
      'ERR_CONFIG_VALUE',
      message,
    );
  }
  if (isTcp(server)) {
    return {
      ...shared,
      protocol: 'tcp',
      cluster: tcpCluster(group[0] as Server, documents, destinations),
    };
  }
  const merged = group.map((each) => serverTable(each, documents, destinations));
  tables.push({ name, hosts: mergeHosts(merged.flat()) });
  return { ...shared, protocol: 'auto', table: name };
}

function isTls({ port, tls }: GatewayServer): boolean {
  // A redirect to HTTPS is all that `tls` says on a plain port.
  return tls !== undefined && !/^(?:HTTP|HTTP2|GRPC|GRPC-WEB)$/.test(port.protocol);
}

function isTcp({ port }: GatewayServer): boolean {
  return port.protocol === 'TCP' || port.protocol === 'TLS';
}

function withoutNamespace(host: string): string {
  return host.slice(host.indexOf('/') + 1);
}

function tlsOf(
  { source }: Gateway,
  { tls = {} }: GatewayServer,
  index: number,
  destinations: Destinations,
): ServerTlsModel {
  const path = ['spec', 'servers', index, 'tls'];
  const { mode = 'PASSTHROUGH', serverCertificate, privateKey, caCertificates, caCrl } = tls;
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') {
    throw unsupported(
      source,
      [...path, ...(tls.mode === undefined ? [] : ['mode'])],
      `TLS mode ${mode}`,
    );
  }
  const needs = (key: string): never => {
    const message = `${path.join('.')}.${key}: missing, mode ${mode} needs it`;
    throw configIssue(source, path, 'ERR_CONFIG_VALUE', message);
  };
  const minVersion = tls.minProtocolVersion === 'TLSV1_3' ? 'TLSv1.3' : 'TLSv1.2';
  const { subjectAltNames } = tls;
  const expect =
    subjectAltNames === undefined
      ? undefined
      : { names: subjectAltNames.map((text) => ({ value: { kind: 'exact' as const, text } })) };
  const common = { minVersion, ...(expect !== undefined && { expect }) } as const;
  if (mode === 'ISTIO_MUTUAL') {
    return { ...common, clientAuth: 'require', identity: 'own', trust: 'own' };
  }
  const certificate = serverCertificate ?? needs('serverCertificate');
  const identity = {
    name: destinations.addIdentity(certificate, privateKey ?? needs('privateKey')),
  };
  if (mode === 'SIMPLE') {
    if (caCertificates !== undefined)
      throw unsupported(source, [...path, 'caCertificates'], 'caCertificates in mode SIMPLE');
    return { ...common, clientAuth: 'none', identity, trust: 'own' };
  }
  const trust = { name: destinations.addTrust(caCertificates ?? needs('caCertificates'), caCrl) };
  return { ...common, clientAuth: mode === 'MUTUAL' ? 'require' : 'request', identity, trust };
}

/** The virtual hosts of one server: those of the VirtualServices that are bound to it, for the hosts of both. */
function serverTable(
  { gateway, server }: Server,
  { virtualServices }: IstioDocuments,
  destinations: Destinations,
): VirtualHostModel[] {
  const own = qualified(gateway.name, gateway.namespace);
  const redirectsToTls = !isTls(server) && server.tls?.httpsRedirect === true;
  const hosts: VirtualHostModel[] = [];
  for (const written of server.hosts) {
    const [space = '*', host = written] = written.includes('/')
      ? written.split('/', 2)
      : ['*', written];
    const bound = virtualServices.filter(({ namespace, spec }) => {
      const isBound = (spec.gateways ?? [mesh]).some((name) => qualified(name, namespace) === own);
      const isShown = isVisibleIn(spec.exportTo, namespace, gateway.namespace);
      const isIn =
        space === '*' || space === namespace || (space === '.' && namespace === gateway.namespace);
      return isBound && isShown && isIn;
    });
    const { hosts: found } = tableOf('', bound, [host], own, destinations);
    hosts.push(...found.map((each) => ({ ...each, redirectsToTls })));
    // What nobody has a route for is redirected all the same.
    if (redirectsToTls)
      hosts.push({ name: host, domains: [host.toLowerCase()], routes: [], redirectsToTls });
  }
  return hosts;
}

/** @param within hosts that are served; what a VirtualService has beyond them is not */
function tableOf(
  name: string,
  services: readonly VirtualService[],
  within: readonly string[],
  gateway: string,
  destinations: Destinations,
): RouteTableModel {
  const hosts: VirtualHostModel[] = [];
  for (const document of services) {
    const { namespace, spec } = document;
    const isHere = (gateways: readonly string[] | undefined) =>
      gateways === undefined ||
      gateways.some((each) => each === gateway || qualified(each, namespace) === gateway);
    const around = { document, destinations, isHere };
    const routes = (spec.http ?? []).flatMap((route, i) => compileHttpRoute(route, i, around));
    const domains = spec.hosts
      .map((host) => fullHost(host, namespace))
      .flatMap((host) => within.flatMap((outer) => narrower(outer.toLowerCase(), host)));
    if (domains.length > 0) hosts.push({ name: `${namespace}/${document.name}`, domains, routes });
  }
  return { name, hosts: mergeHosts(hosts) };
}

/** Of two hosts the one that the other covers; none where neither does. */
function narrower(a: string, b: string): string[] {
  if (coversHost(a, b)) return [b];
  return coversHost(b, a) ? [a] : [];
}

/** Of several for the same host, the routes of all, in the order of the documents. */
function mergeHosts(hosts: readonly VirtualHostModel[]): VirtualHostModel[] {
  const byDomain = new Map<
    string,
    { name: string; routes: RouteModel[]; redirectsToTls: boolean }
  >();
  for (const { name, domains, routes, redirectsToTls = false } of hosts) {
    for (const domain of domains) {
      const known = byDomain.get(domain);
      if (known === undefined) byDomain.set(domain, { name, routes: [...routes], redirectsToTls });
      else {
        known.routes.push(...routes.filter((route) => !known.routes.includes(route)));
        known.redirectsToTls ||= redirectsToTls;
      }
    }
  }
  return [...byDomain].map(([domain, host]) => ({ ...host, domains: [domain] }));
}

function tcpCluster(
  { gateway, server, index }: Server,
  { virtualServices }: IstioDocuments,
  destinations: Destinations,
): string {
  const own = qualified(gateway.name, gateway.namespace);
  const at: ConfigPath = ['spec', 'servers', index];
  for (const document of virtualServices) {
    const { namespace, spec, source } = document;
    if (!(spec.gateways ?? []).some((name) => qualified(name, namespace) === own)) continue;
    for (const [i, { match, route }] of (spec.tcp ?? []).entries()) {
      const isFor = ({
        port,
        gateways,
      }: {
        port?: number | undefined;
        gateways?: readonly string[] | undefined;
      }) =>
        (port === undefined || port === server.port.number) &&
        (gateways === undefined || gateways.some((name) => qualified(name, namespace) === own));
      if (match !== undefined && !match.some(isFor)) continue;
      const [first, second] = route;
      const path = ['spec', 'tcp', i, 'route'];
      if (second !== undefined)
        throw unsupported(source, [...path, 1], 'more than one destination of TCP');
      if (first !== undefined) {
        return destinations.of(first.destination, { document, path: [...path, 0, 'destination'] });
      }
    }
  }
  const message = `${at.join('.')}: no VirtualService has a tcp route for it`;
  throw configIssue(gateway.source, at, 'ERR_CONFIG_VALUE', message);
}

function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  if (labels === undefined || selector === undefined) return true;
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}
