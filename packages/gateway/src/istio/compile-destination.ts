import { isIP } from 'node:net';
import { type ConfigPath, configIssue } from '@countersign/config';
import type { ClusterModel, EndpointModel, UpstreamTlsModel } from '../model/cluster-model.ts';
import type { IdentityModel, TrustModel } from '../model/credential-model.ts';
import { balancingOf, outliersOf, poolOf } from './compile-traffic-policy.ts';
import type { ClientTls, DestinationRuleSpec, TrafficPolicy } from './destination-rule-schema.ts';
import { fullHost, type IstioDocument, isVisibleIn } from './istio-document.ts';
import type { IstioDocuments } from './istio-documents.ts';
import type { ServiceEntrySpec } from './service-entry-schema.ts';
import type { Destination } from './virtual-service-schema.ts';

type Rule = IstioDocument<DestinationRuleSpec>;
type Entry = IstioDocument<ServiceEntrySpec>;
type Policy = Omit<TrafficPolicy, 'portLevelSettings'>;

/** Who names a destination, and where. */
export interface Naming {
  readonly document: IstioDocument<unknown>;
  readonly path: ConfigPath;
}

interface Found {
  readonly endpoints: readonly EndpointModel[];
  readonly byAddress: boolean;
  readonly protocol: string;
  readonly subjectAltNames: readonly string[];
  readonly isMeshInternal: boolean;
  readonly port: number;
}

interface Candidate {
  readonly address: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly weight: number;
}

/**
 * The clusters that destinations mean: ServiceEntry says where they are (a name that none has is looked up as it is),
 * DestinationRule how they are talked to. The same destination is one cluster.
 */
export class Destinations {
  readonly clusters = new Map<string, ClusterModel>();
  readonly identities = new Map<string, IdentityModel>();
  readonly trusts = new Map<string, TrustModel>();
  readonly notes = new Set<string>();
  readonly #documents: IstioDocuments;

  constructor(documents: IstioDocuments) {
    this.#documents = documents;
  }

  /** @returns the name of its cluster. @throws ConfigError at the destination for one that is nowhere */
  of({ host, subset, port }: Destination, naming: Naming): string {
    const { namespace } = naming.document;
    const name = fullHost(host, namespace);
    const entry = this.#entryOf(name, namespace);
    const number = port?.number ?? this.#onlyPort(entry, name, naming);
    const rule = this.#ruleOf(name, namespace);
    const key = `${name}:${number}${subset === undefined ? '' : `|${subset}`}`;
    if (this.clusters.has(key)) return key;
    const labels = this.#labelsOf(rule, subset, name, naming);
    const found =
      entry === undefined
        ? this.#byName(name, number, labels, naming)
        : this.#endpointsOf(entry, number, labels, naming);
    const policy = policyOf(rule, subset, number);
    this.clusters.set(key, this.#cluster(key, name, found, policy, rule));
    return key;
  }

  #cluster(
    key: string,
    host: string,
    found: Found,
    policy: Policy,
    rule: Rule | undefined,
  ): ClusterModel {
    const { tcp = {}, http = {} } = policy.connectionPool ?? {};
    const tls = this.#tlsOf(policy.tls, host, found, rule);
    const protocol = versionOf(found.protocol, http.h2UpgradePolicy);
    return {
      ...{ name: key, endpoints: found.endpoints, dnsRefreshMs: 5000 },
      discovery: found.byAddress ? 'addresses' : 'name',
      ...(protocol !== undefined && { protocol }),
      ...(tls !== undefined && { tls }),
      ...balancingOf(policy.loadBalancer),
      ...outliersOf(policy.outlierDetection),
      connectTimeoutMs: tcp.connectTimeout ?? 10_000,
      ...{ headersTimeoutMs: 300_000, idleTimeoutMs: tcp.idleTimeout ?? 3_600_000 },
      maxConnections: Math.min(tcp.maxConnections ?? 65_536, 65_536),
      ...poolOf(policy),
    };
  }

  #tlsOf(
    written: ClientTls | undefined,
    host: string,
    { isMeshInternal, subjectAltNames }: Found,
    rule: Rule | undefined,
  ): UpstreamTlsModel | undefined {
    const automatic: ClientTls | undefined = isMeshInternal ? { mode: 'ISTIO_MUTUAL' } : undefined;
    const tls = written ?? automatic;
    if (tls === undefined || tls.mode === 'DISABLE') {
      if (tls === undefined) {
        this.notes.add(`"${host}" is spoken to in clear text: no DestinationRule says otherwise`);
      }
      return undefined;
    }
    const names = tls.subjectAltNames ?? subjectAltNames;
    const byName = names.map((text) => ({ value: { kind: 'exact' as const, text } }));
    if (tls.mode === 'ISTIO_MUTUAL') {
      return {
        ...{ identity: 'own', trust: 'own' },
        expect: byName.length > 0 ? { names: byName } : {},
        serverName: tls.sni ?? host,
      };
    }
    if (tls.caCertificates === undefined) {
      const message = `trafficPolicy.tls.caCertificates: missing, mode ${tls.mode} of "${host}" is not verified without`;
      throw configIssue(
        (rule as Rule).source,
        ['spec', 'trafficPolicy', 'tls'],
        'ERR_CONFIG_VALUE',
        message,
      );
    }
    const serverName = tls.sni ?? host;
    return {
      identity: tls.mode === 'MUTUAL' ? { name: this.#identity(tls, rule as Rule) } : 'none',
      trust: { name: this.#trust(tls.caCertificates, tls.caCrl) },
      serverName,
      // Without names that are expected, the one that is asked for.
      expect: {
        names:
          byName.length > 0
            ? byName
            : [{ type: 'dns', value: { kind: 'exact', text: serverName } }],
      },
    };
  }

  #identity({ clientCertificate, privateKey }: ClientTls, rule: Rule): string {
    if (clientCertificate === undefined || privateKey === undefined) {
      const message = 'trafficPolicy.tls: mode MUTUAL needs clientCertificate and privateKey';
      throw configIssue(rule.source, ['spec', 'trafficPolicy', 'tls'], 'ERR_CONFIG_VALUE', message);
    }
    return this.addIdentity(clientCertificate, privateKey);
  }

  addIdentity(certificate: string, key: string): string {
    this.identities.set(certificate, {
      ...{ name: certificate, certificate: { file: certificate }, key: { file: key } },
    });
    return certificate;
  }

  #trust(authorities: string, crl: string | undefined): string {
    return this.addTrust(authorities, crl);
  }

  addTrust(authorities: string, crl: string | undefined): string {
    const name = crl === undefined ? authorities : `${authorities} and ${crl}`;
    this.trusts.set(name, {
      ...{ name, authorities: { file: authorities } },
      ...(crl !== undefined && { crl: { file: crl } }),
    });
    return name;
  }

  /** Its own namespace first, then whoever shows it. */
  #entryOf(host: string, namespace: string): Entry | undefined {
    const visible = this.#documents.serviceEntries.filter((entry) =>
      isVisibleIn(entry.spec.exportTo, entry.namespace, namespace),
    );
    const exact = visible.filter(({ spec }) =>
      spec.hosts.some((each) => each.toLowerCase() === host),
    );
    const wild = visible.filter(({ spec }) => spec.hosts.some((each) => coversHost(each, host)));
    const all = [...exact, ...wild];
    return all.find((entry) => entry.namespace === namespace) ?? all[0];
  }

  /** The client's namespace, then any other that shows it; an exact host before a wildcard, the longest first. */
  #ruleOf(host: string, namespace: string): Rule | undefined {
    const visible = this.#documents.destinationRules.filter(
      (rule) =>
        isVisibleIn(rule.spec.exportTo, rule.namespace, namespace) &&
        coversHost(fullHost(rule.spec.host, rule.namespace), host),
    );
    const near = visible.filter((rule) => rule.namespace === namespace);
    const candidates = near.length > 0 ? near : visible;
    return candidates.toSorted((a, b) => b.spec.host.length - a.spec.host.length)[0];
  }

  #onlyPort(entry: Entry | undefined, host: string, { document, path }: Naming): number {
    const { ports = [] } = entry?.spec ?? {};
    const [only] = ports;
    if (only !== undefined && ports.length === 1) return only.number;
    const has = entry === undefined ? 'is in no ServiceEntry' : `has ${ports.length} ports`;
    const message = `${path.join('.')}.port: missing, "${host}" ${has}`;
    throw configIssue(document.source, path, 'ERR_CONFIG_VALUE', message);
  }

  #labelsOf(
    rule: Rule | undefined,
    subset: string | undefined,
    host: string,
    { document, path }: Naming,
  ): Readonly<Record<string, string>> {
    if (subset === undefined) return {};
    const found = rule?.spec.subsets?.find(({ name }) => name === subset);
    if (found !== undefined) return found.labels ?? {};
    const message = `${path.join('.')}.subset: no DestinationRule of "${host}" has a subset "${subset}"`;
    throw configIssue(document.source, [...path, 'subset'], 'ERR_CONFIG_VALUE', message);
  }

  #byName(
    host: string,
    port: number,
    labels: Readonly<Record<string, string>>,
    { document, path }: Naming,
  ): Found {
    if (host.includes('*') || Object.keys(labels).length > 0) {
      const message = `${path.join('.')}: "${host}" is in no ServiceEntry, whose endpoints would have labels`;
      throw configIssue(document.source, path, 'ERR_CONFIG_VALUE', message);
    }
    this.notes.add(`"${host}" is in no ServiceEntry, its name is looked up`);
    return {
      ...{ endpoints: [{ host, port, weight: 1 }], byAddress: isIP(host) === 0, port },
      ...{ protocol: '', subjectAltNames: [], isMeshInternal: false },
    };
  }

  #endpointsOf(
    entry: Entry,
    number: number,
    labels: Readonly<Record<string, string>>,
    { document, path }: Naming,
  ): Found {
    const { spec } = entry;
    const port = spec.ports?.find((each) => each.number === number);
    const refuse = (message: string) =>
      configIssue(document.source, path, 'ERR_CONFIG_VALUE', `${path.join('.')}: ${message}`);
    if (port === undefined) {
      throw refuse(`ServiceEntry "${entry.namespace}/${entry.name}" has no port ${number}`);
    }
    const candidates = this.#candidatesOf(entry).filter((each) => hasLabels(each.labels, labels));
    if (candidates.length === 0) {
      throw refuse(`no endpoint of ServiceEntry "${entry.namespace}/${entry.name}" fits`);
    }
    const target = port.targetPort ?? port.number;
    return {
      endpoints: candidates.map(({ address, ports, weight }) => ({
        host: address,
        port: ports[port.name] ?? target,
        weight: Math.max(1, weight),
      })),
      byAddress: candidates.some(({ address }) => isIP(address) === 0),
      ...{ protocol: port.protocol ?? '', port: number },
      subjectAltNames: spec.subjectAltNames ?? [],
      isMeshInternal: spec.location === 'MESH_INTERNAL',
    };
  }

  #candidatesOf({ namespace, spec }: Entry): Candidate[] {
    const { endpoints, workloadSelector, hosts } = spec;
    if (workloadSelector !== undefined) {
      return this.#documents.workloadEntries
        .filter((each) => each.namespace === namespace)
        .filter((each) =>
          hasLabels({ ...each.labels, ...each.spec.labels }, workloadSelector.labels ?? {}),
        )
        .map(({ spec: { address, ports = {}, weight = 1 }, labels, spec: own }) => ({
          ...{ address, ports, weight, labels: { ...labels, ...own.labels } },
        }));
    }
    const written =
      endpoints ?? hosts.filter((host) => !host.includes('*')).map((address) => ({ address }));
    return written.map((each) => {
      const { address = '', ports = {}, labels = {}, weight = 1 } = each as Partial<Candidate>;
      return { address, ports, labels, weight };
    });
  }
}

/** Absent: HTTP/1.1, and HTTP/2 for gRPC. */
function versionOf(protocol: string, upgrade: string | undefined): ClusterModel['protocol'] {
  if (upgrade === 'UPGRADE') return 'h2';
  if (upgrade === 'DO_NOT_UPGRADE') return 'h1';
  return /^(?:http2|grpc|grpc-web)$/i.test(protocol) ? 'h2' : undefined;
}

/** Of a port before that of a subset before that of the whole; each key of the inner replaces the outer's. */
function policyOf(rule: Rule | undefined, subset: string | undefined, port: number): Policy {
  const whole = rule?.spec.trafficPolicy;
  const part = rule?.spec.subsets?.find(({ name }) => name === subset)?.trafficPolicy;
  const levels = [whole, part].flatMap((policy) => {
    if (policy === undefined) return [];
    const { portLevelSettings = [], ...rest } = policy;
    const ofPort = portLevelSettings.find((each) => each.port.number === port);
    // Settings of a port stand for all of the policy around them, not beside it.
    return [ofPort ?? rest];
  });
  return Object.assign({}, ...levels);
}

export function coversHost(pattern: string, host: string): boolean {
  const plain = pattern.toLowerCase();
  if (plain === host || plain === '*') return true;
  return plain.startsWith('*') && host.endsWith(plain.slice(1)) && host.length >= plain.length;
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}
