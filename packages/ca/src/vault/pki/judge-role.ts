import { isIP } from 'node:net';
import { formatIpAddress, type KeyUsage, parseIpAddress } from '@countersign/x509';
import { globMatches } from '../../policy/text-glob.ts';
import type { UsageWish } from '../../profile/narrow-usages.ts';
import { isWithin } from '../networks.ts';
import { get, type Values } from '../vault-fields.ts';
import { refusal, type VaultRefusal } from '../vault-refusal.ts';
import { extKeyUsageByName, keyUsageByName, plain } from './role-fields.ts';

/** Names that are asked for, and from where each came. */
export interface AskedNames {
  readonly commonName: string | undefined;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uris: readonly string[];
  readonly from: 'the API' | 'CSR';
}

/** Why a role does not allow names; undefined where it does. The words are those that clients match on. */
export function judgeRoleNames(role: Values, asked: AskedNames): VaultRefusal | undefined {
  const { commonName, dns, ip, uris, from } = asked;
  const no = (text: string) => refusal('ERR_VAULT_ROLE', 400, text);
  if (commonName !== undefined && isIP(commonName) === 0 && !isAllowedName(role, commonName)) {
    return no(`common name ${commonName.slice(0, 200)} not allowed by this role`);
  }
  const other = dns.find((name) => !isAllowedName(role, name));
  if (other !== undefined)
    return no(`subject alternate name ${other.slice(0, 200)} not allowed by this role`);
  const addresses = commonName !== undefined && isIP(commonName) !== 0 ? [...ip, commonName] : ip;
  if (addresses.length > 0 && !get.bool(role, 'allow_ip_sans')) {
    return no(
      `IP Subject Alternative Names are not allowed in this role, but was provided via ${from}`,
    );
  }
  const networks = get.list(role, 'allowed_ip_sans_cidr');
  const outside = addresses.find(
    (each) => parseIpAddress(each) !== undefined && !isWithin(networks, spelt(each)),
  );
  if (outside !== undefined)
    return no(`IP Subject Alternative Name ${outside} is not in a network that this role allows`);
  const patterns = get.list(role, 'allowed_uri_sans');
  const provided = from === 'CSR' ? 'via CSR' : 'via the API';
  if (uris.length > 0 && patterns.length === 0) {
    return no(
      `URI Subject Alternative Names are not allowed in this role, but were provided ${provided}`,
    );
  }
  if (uris.some((uri) => !patterns.some((pattern) => globMatches(pattern, uri)))) {
    return no(
      `URI Subject Alternative Names were provided ${provided} which are not valid for this role`,
    );
  }
  return undefined;
}

function isAllowedName(role: Values, written: string): boolean {
  const name = written.toLowerCase();
  const isWildcard = name.includes('*');
  if (isWildcard && !get.bool(role, 'allow_wildcard_certificates')) return false;
  const host = name.replace(/^\*\./, '');
  if (get.bool(role, 'enforce_hostnames') && !isHostName(host)) return false;
  if (get.bool(role, 'allow_any_name')) return true;
  if (get.bool(role, 'allow_localhost') && (name === 'localhost' || name === 'localdomain'))
    return true;
  return get
    .list(role, 'allowed_domains')
    .some((each) => isOfDomain(role, each.toLowerCase(), name, host));
}

function isOfDomain(role: Values, domain: string, name: string, host: string): boolean {
  if (name === domain && get.bool(role, 'allow_bare_domains')) return true;
  if (get.bool(role, 'allow_subdomains')) {
    if (host.endsWith(`.${domain}`)) return true;
    if (host !== name && host === domain) return true;
  }
  const isGlob = get.bool(role, 'allow_glob_domains') && domain.includes('*');
  return isGlob && globMatches(domain, name);
}

function isHostName(name: string): boolean {
  return (
    name.length <= 253 &&
    /^[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?$/i.test(name)
  );
}

function spelt(address: string): string {
  return formatIpAddress(parseIpAddress(address) ?? new Uint8Array(4));
}

const usualKeyUsage = 'digitalSignature,keyAgreement,keyEncipherment';

/** A role's usages as a wish: what it leaves as it is bounds nothing but extended usages, of which it has two by itself. */
export function usagesOfRole(role: Values): UsageWish {
  const keyUsage = get
    .list(role, 'key_usage')
    .map((each) => keyUsageByName[plain(each)] as KeyUsage);
  const isUsual = keyUsage.toSorted().join() === usualKeyUsage || keyUsage.length === 0;
  const flags = [
    ['server_flag', 'serverAuth'],
    ['client_flag', 'clientAuth'],
    ['code_signing_flag', 'codeSigning'],
    ['email_protection_flag', 'emailProtection'],
  ] as const;
  const byFlag = flags.flatMap(([flag, usage]) => (get.bool(role, flag) ? [usage] : []));
  const named = get
    .list(role, 'ext_key_usage')
    .map((each) => extKeyUsageByName[plain(each)] ?? each);
  const byOid = get.list(role, 'ext_key_usage_oids');
  const extKeyUsage = [...new Set<string>([...byFlag, ...named, ...byOid])];
  const beyond = extKeyUsage.filter((each) => each !== 'serverAuth' && each !== 'clientAuth');
  return {
    keyUsage: isUsual ? undefined : keyUsage,
    extKeyUsage,
    // The usual three are written for any key: that the profile has none of them is no harm.
    required: [...keyUsage.filter((each) => !usualKeyUsage.includes(each)), ...beyond],
  };
}
