import { resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { CountersignError } from '@countersign/base';
import type { WrittenIssuer } from '@countersign/config';
import type { IdentityModel, TrustModel } from '@countersign/gateway';
import type { Cli } from '../cli.ts';
import { readIssuerFile } from '../issuers/open-issuer.ts';
import type { TunnelOptions } from './tunnel-options.ts';

/** What a tunnel shows, and whom it believes. */
export interface TunnelCredentials {
  /** `authority`: ours gives it, and says who is revoked. */
  readonly from: 'authority' | 'issuer' | 'files' | 'nobody';
  readonly issuer?: WrittenIssuer;
  readonly identity?: IdentityModel;
  readonly trust?: TrustModel;
}

/**
 * One way of having an identity, told by the flags.
 *
 * @param who for messages
 * @param isServer whether somebody else's files must say who vouches for clients
 * @throws CountersignError ERR_USAGE, ERR_FILE; ConfigError of an issuer's file
 */
export async function tunnelCredentials(
  cli: Cli,
  options: TunnelOptions,
  { who, isServer }: { readonly who: string; readonly isServer: boolean },
): Promise<TunnelCredentials> {
  const usage = (reason: string) =>
    new CountersignError('ERR_USAGE', `${who}: ${reason}`, {
      hint: `run \`countersign ${who} --help\``,
    });
  const { cert, key, keystore, cacert, crl, disableAuthentication = false } = options;
  if ((cert === undefined) !== (key === undefined)) throw usage('--cert and --key go together');
  if (crl !== undefined && cacert === undefined) throw usage('--crl needs --cacert');
  const ways = waysOf(options).filter(({ isGiven }) => isGiven);
  const isBare = !isServer && disableAuthentication;
  const [way, other] = ways;
  if (way === undefined && !isBare) throw usage(`one of ${names(waysOf(options))} is missing`);
  if (other !== undefined) throw usage(`${names(ways)} are given, expected one of them`);
  const trust = trustOf(options);
  if (way === undefined || (way.from === 'files' && isBare)) {
    if (way !== undefined)
      throw usage(`--disable-authentication shows nothing, and ${way.name} is given`);
    return { from: 'nobody', trust: trust ?? systemTrust() };
  }
  if (way.from === 'issuer') {
    return { from: 'issuer', issuer: await issuerOf(cli, options), ...(trust && { trust }) };
  }
  if (way.from === 'authority') return { from: 'authority', ...(trust && { trust }) };
  if (isServer && trust === undefined && !disableAuthentication) {
    throw usage('--cacert is missing: who vouches for clients');
  }
  const chain = keystore ?? cert ?? '';
  return {
    from: 'files',
    identity: {
      name: 'tunnel',
      certificate: { file: chain },
      key: { file: keystore ?? key ?? '' },
    },
    trust: trust ?? systemTrust(),
  };
}

interface Way {
  readonly name: string;
  readonly from: 'authority' | 'issuer' | 'files';
  readonly isGiven: boolean;
}

function waysOf(options: TunnelOptions): readonly Way[] {
  const { identity, token, issuer, useWorkloadApi, useWorkloadApiAddr, keystore, cert } = options;
  const isAuthority = (identity !== undefined || token !== undefined) && issuer === undefined;
  const isAgent = useWorkloadApi === true || useWorkloadApiAddr !== undefined;
  return [
    { name: '--identity or --token', from: 'authority', isGiven: isAuthority },
    { name: '--issuer', from: 'issuer', isGiven: issuer !== undefined },
    { name: '--use-workload-api', from: 'issuer', isGiven: isAgent },
    { name: '--keystore', from: 'files', isGiven: keystore !== undefined },
    { name: '--cert with --key', from: 'files', isGiven: cert !== undefined },
  ];
}

function names(ways: readonly Way[]): string {
  return ways.map(({ name }) => name).join(', ');
}

function trustOf({ cacert, crl }: TunnelOptions): TrustModel | undefined {
  if (cacert === undefined) return undefined;
  const lists = crl === undefined ? {} : { crl: { file: crl } };
  return { name: 'tunnel', authorities: { file: cacert }, ...lists };
}

/** As ghostunnel: who is not told otherwise believes whom the system believes. */
function systemTrust(): TrustModel {
  return { name: 'tunnel', authorities: { text: getCACertificates('system').join('\n') } };
}

async function issuerOf(cli: Cli, options: TunnelOptions): Promise<WrittenIssuer> {
  if (options.issuer !== undefined)
    return (await readIssuerFile(cli, resolve(options.issuer))).issuer;
  const socket = options.useWorkloadApiAddr ?? cli.env.SPIFFE_ENDPOINT_SOCKET;
  if (socket === undefined) {
    const message = '--use-workload-api: SPIFFE_ENDPOINT_SOCKET is not set';
    throw new CountersignError('ERR_USAGE', message);
  }
  return { workload_api: { socket }, dns: [], ip: [] };
}
