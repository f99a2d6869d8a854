import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import {
  type Clock,
  CountersignError,
  errorOfDenial,
  messageOf,
  systemClock,
  writeFileDurably,
} from '@countersign/base';
import {
  type Authority,
  authorityOfPair,
  type CaConfig,
  parseCaConfig,
  selfSignedRoot,
} from '@countersign/ca';
import { defaultKeyKind, type Identity, makeOwnRequest, proveIssued } from '@countersign/identity';
import { parseTrustDomain, type TrustBundle } from '@countersign/spiffe';
import type { IssueResponse } from '@countersign/wire';
import {
  type Certificate,
  certificatesFromPem,
  decodePrivateKey,
  encodePem,
  encodePrivateKey,
  formatIpAddress,
  generateKeyPair,
  keySigner,
} from '@countersign/x509';
import { serviceSpiffeId } from './provider-options.ts';

export interface AuthorityPlace {
  /** Default `cluster.local`. */
  readonly trustDomain?: string;
  readonly clock?: Clock;
}

export interface AuthorityFiles extends AuthorityPlace {
  /** PEM: the issuing certificate first, the root last. */
  readonly caCertPath: string;
  /** PEM: PKCS #8, or an EC or RSA key in its traditional form; not encrypted. */
  readonly caKeyPath: string;
}

export interface ServiceOrder {
  readonly serviceName: string;
  readonly namespace: string;
  readonly ttlSecs: number;
  /** DNS names; those of the service, and `localhost`, unless given. */
  readonly dns?: readonly string[];
  /** IP addresses; the loopback ones unless given. */
  readonly ip?: readonly string[];
}

/**
 * A certificate authority in this process, for development and for whoever keeps the files of one: every certificate of
 * a trust domain comes from this one. Its key is in memory and in the file that it was read from, nowhere else, and
 * cannot be printed. It keeps no ledger on disk; `countersign ca serve` does.
 */
export class CertificateAuthority {
  readonly trustDomain: string;
  /** The trust anchor. */
  readonly root: Certificate;
  readonly #authority: Authority;
  readonly #clock: Clock;

  private constructor(authority: Authority, clock: Clock) {
    this.#authority = authority;
    this.#clock = clock;
    this.trustDomain = authority.config.trustDomain;
    this.root = authority.root;
  }

  /** A new root that ends with this process. */
  static async ephemeral(place: AuthorityPlace = {}): Promise<CertificateAuthority> {
    const { clock = systemClock } = place;
    const config = configOf(place.trustDomain);
    const { privateKey } = await generateKeyPair(defaultKeyKind);
    const signer = keySigner(privateKey);
    const root = await selfSignedRoot({ config, signer, clock });
    return new CertificateAuthority(
      await authorityOfPair({ config, chain: [root], signer, clock }),
      clock,
    );
  }

  /**
   * The authority whose certificate and key these files hold.
   *
   * @throws CountersignError ERR_PROVIDER_CA
   */
  static async fromFiles(files: AuthorityFiles): Promise<CertificateAuthority> {
    const { caCertPath, caKeyPath, clock = systemClock } = files;
    const config = configOf(files.trustDomain);
    try {
      const [issuing, ...above] = certificatesFromPem(await readFile(caCertPath, 'utf8'));
      if (issuing?.basicConstraints?.ca !== true) {
        throw new CountersignError('ERR_PROVIDER_CA', 'the certificate is not one of an authority');
      }
      const signer = keySigner(decodePrivateKey(await readFile(caKeyPath, 'utf8')));
      const authority = await authorityOfPair({
        ...{ config, chain: [issuing, ...above], signer, clock },
      });
      return new CertificateAuthority(authority, clock);
    } catch (thrown) {
      throw new CountersignError(
        'ERR_PROVIDER_CA',
        `open the authority of "${caCertPath}" and "${caKeyPath}": ${messageOf(thrown)}`,
        { cause: thrown },
      );
    }
  }

  /**
   * As {@link fromFiles}; where neither file exists yet, a new root is made and written there first, the key 0600.
   *
   * @throws CountersignError ERR_PROVIDER_CA, also where just one of them is missing
   */
  static async openOrCreate(
    files: AuthorityFiles,
  ): Promise<{ readonly ca: CertificateAuthority; readonly isNew: boolean }> {
    const [cert, key] = await Promise.all([isThere(files.caCertPath), isThere(files.caKeyPath)]);
    const isNew = !cert && !key;
    if (isNew) await writeNewRoot(files);
    return { ca: await CertificateAuthority.fromFiles(files), isNew };
  }

  bundle(): TrustBundle {
    return this.#authority.bundle();
  }

  /** Writes the trust anchor as PEM, in one step. */
  async exportTrustBundle(path: string): Promise<void> {
    await writeFileDurably(path, encodePem('CERTIFICATE', this.root.raw));
  }

  /**
   * A key and its certificate for a service of this trust domain, proved as a peer would prove it.
   *
   * @throws CountersignError ERR_PROVIDER_OPTIONS, ERR_POLICY_*
   */
  async issue(order: ServiceOrder): Promise<Identity> {
    const { serviceName, namespace, ttlSecs } = order;
    const spiffeId = serviceSpiffeId(this.trustDomain, namespace, serviceName);
    const { privateKey, csr } = await makeOwnRequest(defaultKeyKind);
    const { dns = namesOf(serviceName, namespace), ip = ['127.0.0.1', '::1'] } = order;
    const response = await this.#order({ csr, ttlMs: ttlSecs * 1000, spiffeId, dns, ip });
    return proveIssued({ response, privateKey, clock: this.#clock, spiffeId });
  }

  /**
   * A certificate for the names of `current` and the key of `csr`: what a rotation asks, whether or not the current one
   * has expired.
   *
   * @throws CountersignError ERR_POLICY_*, ERR_CSR_*
   */
  renew(current: Identity, csr: Uint8Array, ttlSecs: number): Promise<IssueResponse> {
    const names = current.svid.leaf.subjectAltNames;
    const dns = names.flatMap((name) => (name.kind === 'dns' ? [name.value] : []));
    const ip = names.flatMap((name) => (name.kind === 'ip' ? [formatIpAddress(name.bytes)] : []));
    const spiffeId = current.svid.spiffeId.toString();
    return this.#order({ csr, ttlMs: ttlSecs * 1000, spiffeId, dns, ip });
  }

  async #order(request: Parameters<Authority['issue']>[0]): Promise<IssueResponse> {
    const answer = await this.#authority.issue(request);
    if (!answer.ok) throw errorOfDenial(answer, `issue "${request.spiffeId}"`);
    // Peers have the root of their own; a chain that carried it would be held to a signing certificate's rules.
    const chain = answer.chain.filter((der) => Buffer.compare(der, this.root.raw) !== 0);
    return { ...this.#authority.issueResponseOf(answer), chain };
  }

  toJSON(): object {
    return { trustDomain: this.trustDomain, root: this.#authority.rootFingerprint };
  }

  [inspect.custom](): string {
    return `CertificateAuthority ${this.trustDomain} root ${this.#authority.rootFingerprint}`;
  }
}

/** The longest that {@link ServiceOrder.ttlSecs} may be. */
const longestTtl = '8760h';

/** Each root has a name of its own: two of one name could only be told apart by trying their keys. */
function configOf(trustDomain = 'cluster.local'): CaConfig {
  const text = `
ca:
  root:
    algorithm: ECDSA
    curve: P-256
    validity: "87600h"
    subject: { commonName: "local root ${randomBytes(4).toString('hex')}" }
  intermediate: { local: { profile: local } }
profiles: { local: { backdate: "0s" } }
service_certificates:
  max_validity: "${longestTtl}"
  san_policies:
    spiffe_trust_domain: ${JSON.stringify(parseTrustDomain(trustDomain))}
    allowed_dns_patterns: ["*"]
    allow_ip_san: true
`;
  return parseCaConfig(text, 'the local authority');
}

/** The names that a service is reached under: those of Kubernetes, and this machine's, for development. */
function namesOf(service: string, namespace: string): readonly string[] {
  const names = [
    service,
    `${service}.${namespace}`,
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.cluster.local`,
    'localhost',
  ];
  const isName =
    /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
  return names.map((name) => name.toLowerCase()).filter((name) => isName.test(name));
}

async function writeNewRoot({ caCertPath, caKeyPath, ...place }: AuthorityFiles): Promise<void> {
  const { clock = systemClock } = place;
  const { privateKey } = await generateKeyPair(defaultKeyKind);
  const signer = keySigner(privateKey);
  const root = await selfSignedRoot({ config: configOf(place.trustDomain), signer, clock });
  await writeFileDurably(caKeyPath, encodePrivateKey(privateKey), { mode: 0o600 });
  await writeFileDurably(caCertPath, encodePem('CERTIFICATE', root.raw));
}

async function isThere(path: string): Promise<boolean> {
  return await readFile(path).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => thrown.code !== 'ENOENT',
  );
}
