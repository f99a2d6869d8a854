import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { CountersignError, messageOf } from '@countersign/base';
import { type AcmeConfig, type CaConfig, parseCaConfig } from '@countersign/ca';
import { parseListenAddress } from './listen-address.ts';
import type { PebbleConfig } from './pebble-config.ts';
import type { PebbleEnvironment } from './pebble-environment.ts';

/** The roots that Pebble would make, each with its chain; the intermediate that signs has one name in all of them. */
export function pebbleHierarchies(
  { keyAlgorithm }: PebbleConfig,
  { alternateRoots, chainLength }: PebbleEnvironment,
): readonly [CaConfig, ...CaConfig[]] {
  const key = keyAlgorithm === 'rsa' ? 'algorithm: RSA, keySize: 2048' : 'curve: P-256';
  const signing = `Countersign Pebble Intermediate CA ${mark()}`;
  const one = () => parseCaConfig(hierarchyYaml(key, signing, chainLength), 'countersign-pebble');
  return [one(), ...Array.from({ length: alternateRoots }, one)];
}

function hierarchyYaml(key: string, signing: string, chainLength: number): string {
  const id = mark();
  const levels = Array.from({ length: chainLength - 1 }, (_, i) => i + 1);
  const at = (pathLen: number, name: string) =>
    `${key}, validity: 262800h, pathLenConstraint: ${pathLen}, commonName: "${name}"`;
  const above = (level: number) => (level < chainLength ? `level-${level}` : 'root');
  return `
ca:
  root: { ${at(chainLength, `Countersign Pebble Root CA ${id}`)} }
  intermediate:
    services: { issuer: ${above(1)}, ${at(0, signing)} }
${levels
  .map((i) => {
    const name = `Countersign Pebble Intermediate CA ${id} #${i}`;
    return `    level-${i}: { issuer: ${above(i + 1)}, ${at(i, name)} }\n`;
  })
  .join('')}
service_certificates:
  validity: 2160h
  max_validity: 219000h
  required_extensions: [{ keyUsage: [digitalSignature] }, { extKeyUsage: [serverAuth] }]
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: pebble.invalid
    allowed_dns_patterns: ["*"]
    allow_wildcards: true
    allow_ip_san: true
profiles:
  exact: { backdate: 0s, for: [{ provisioners: [acme] }] }
requests: { other_extensions: ignore, other_names: ignore }
`;
}

/** Tells one run's names from another's. */
function mark(): string {
  return randomBytes(3).toString('hex');
}

/** As Pebble calls them: it differs on purpose from what public authorities have, and tests look for its names. */
const pebbleResources: AcmeConfig['resources'] = {
  newNonce: '/nonce-plz',
  newAccount: '/sign-me-up',
  newOrder: '/order-plz',
  revokeCert: '/revoke-cert',
  keyChange: '/rollover-account-key',
  renewalInfo: '/draft-ietf-acme-ari-03/renewalInfo/{}',
  account: '/my-account/{}',
  orders: '/list-orderz/{}',
  order: '/my-order/{}',
  finalize: '/finalize-order/{}',
  authorization: '/authZ/{}',
  challenge: '/chalZ/{}/{}',
  certificate: '/certZ/{}',
  alternate: '/certZ/{}/alternate/{}',
};

/** What the edge does of what Pebble's file, environment and flags say. */
export async function pebbleAcme(
  config: PebbleConfig,
  environment: PebbleEnvironment,
  flags: { readonly dnsServer: string | undefined; readonly strict: boolean },
): Promise<AcmeConfig> {
  const { sleepMs, alwaysValid, nonceRejectPercent, reusePercent, ordersPerPage } = environment;
  const resolver = flags.dnsServer === undefined ? [] : [await resolverOf(flags.dnsServer)];
  // Who names no profile gets the one that is called so.
  const profiles = Object.entries(config.profiles).sort(
    ([a], [b]) => Number(b === 'default') - Number(a === 'default'),
  );
  const hour = 3_600_000;
  return {
    ...{ path: '', directory: '/dir', resources: pebbleResources, provisioner: 'acme' },
    challenges: ['http-01', 'tls-alpn-01', 'dns-01', 'dns-account-01'],
    ...{ termsOfService: 'data:text/plain,For%20tests%20alone', website: undefined },
    externalAccountRequired: config.externalAccountBindingRequired,
    externalAccounts: Object.entries(config.externalAccountMACKeys).map(([kid, written]) => ({
      kid,
      key: { bytes: macKeyOf(kid, written) },
      provisioner: undefined,
    })),
    profiles: profiles.map(([name, { description, validitySeconds, promoteCommonName }]) => ({
      ...{ name, description, profile: 'exact', spiffeId: undefined },
      ...{ lifetimeMs: validitySeconds * 1000, commonName: promoteCommonName },
    })),
    ...{ authorizationMs: hour, orderMs: 24 * hour, reusePercent, ordersPerPage },
    retryAfter: { authorization: config.retryAfter.authz, order: config.retryAfter.order },
    blockedDomains: config.domainBlocklist.map((each) => each.toLowerCase()),
    caaIdentities: config.caaIdentities,
    ...{ alternateChains: [], requestedValidity: true },
    limits: { accountsPerHour: 0, ordersPerHour: 0, identifiers: 100 },
    validation: {
      ...{ httpPort: config.httpPort, tlsAlpnPort: config.tlsPort },
      ...{ vantages: [resolver], mayFail: 0, allow: [], isOpen: true },
      ...{ timeoutMs: 15_000, retryMs: [], sleepMs, alwaysValid },
    },
    trials: { nonceRejectPercent, isStrict: flags.strict },
  };
}

/** @throws CountersignError ERR_CONFIG_VALUE */
function macKeyOf(kid: string, written: string): Uint8Array {
  const bytes = Buffer.from(written, 'base64url');
  if (bytes.byteLength > 0 && /^[A-Za-z0-9_-]+$/.test(written)) return bytes;
  const form = 'expected base64url without padding';
  throw new CountersignError('ERR_CONFIG_VALUE', `pebble.externalAccountMACKeys.${kid}: ${form}`);
}

/** Resolvers are known by address: a host's name is looked up once. @throws CountersignError ERR_USAGE */
async function resolverOf(written: string): Promise<string> {
  const { host = '127.0.0.1', port } = parseListenAddress(written, 'flag "-dnsserver"');
  const found = isIP(host) === 0 ? await addressOf(host, written) : host;
  return isIP(found) === 6 ? `[${found}]:${port}` : `${found}:${port}`;
}

async function addressOf(host: string, written: string): Promise<string> {
  try {
    return (await lookup(host, { family: 4 })).address;
  } catch (thrown) {
    const message = `resolve "${written}" of the flag "-dnsserver": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_USAGE', message, { cause: thrown });
  }
}
