import { type FieldTable, field, get, goDuration, type Values } from '../vault-fields.ts';
import { badRequest, type VaultRefusal } from '../vault-refusal.ts';

const commonNameAlone = 'subjects hold a common name and nothing else';
const decidedByProfile = 'profiles of ca.yaml decide it';

/** A role of certificates. Each field narrows what ca.yaml allows, or is refused by its name. */
export const roleFields: FieldTable = {
  issuer_ref: field.text('default', 'Which issuer of the mount signs.'),
  ttl: field.duration(0, "Lifetime where none is asked; 0: the mount's."),
  max_ttl: field.duration(0, "The longest lifetime; 0: the mount's."),
  allow_localhost: field.bool(true, 'Whether "localhost" and "localdomain" are allowed.'),
  allowed_domains: field.list([], 'What names are allowed of, by the flags below.'),
  allowed_domains_template: field.only(
    field.bool(false, 'Templates in allowed_domains.'),
    'there are no identities to fill templates with',
  ),
  allow_bare_domains: field.bool(false, 'Whether the domains themselves are allowed.'),
  allow_subdomains: field.bool(false, 'Whether names below the domains are allowed.'),
  allow_glob_domains: field.bool(false, 'Whether "*" in domains stands for anything.'),
  allow_wildcard_certificates: field.bool(true, 'Whether names may be wildcards.'),
  allow_any_name: field.bool(false, 'Whether any name is allowed that ca.yaml allows.'),
  enforce_hostnames: field.bool(true, 'Whether names must be host names.'),
  allow_ip_sans: field.bool(true, 'Whether addresses are allowed.'),
  allowed_ip_sans_cidr: field.list([], 'Networks that addresses are allowed of; none: all.'),
  allowed_uri_sans: field.list([], 'SPIFFE IDs that are allowed, with "*" for anything.'),
  allowed_uri_sans_template: field.only(
    field.bool(false, 'Templates in allowed_uri_sans.'),
    'there are no identities to fill templates with',
  ),
  allow_globs_in_identity_templates: field.only(
    field.bool(false, 'Wildcards from templates.'),
    'there are no templates',
  ),
  allowed_other_sans: field.only(
    field.list([], 'Other names.'),
    'certificates carry DNS names, addresses and SPIFFE IDs',
  ),
  allowed_serial_numbers: field.only(
    field.list([], 'Serial numbers in subjects.'),
    commonNameAlone,
  ),
  allowed_user_ids: field.only(field.list([], 'User ids in subjects.'), commonNameAlone),
  allow_token_displayname: field.only(
    field.bool(false, 'The display name of the token as a name.'),
    'write the name into allowed_domains',
  ),
  server_flag: field.bool(true, 'Whether certificates are for servers.'),
  client_flag: field.bool(true, 'Whether certificates are for clients.'),
  code_signing_flag: field.bool(
    false,
    'Whether certificates are for signing code; a profile has to have it.',
  ),
  email_protection_flag: field.bool(
    false,
    'Whether certificates are for mail; a profile has to have it.',
  ),
  key_type: field.text('rsa', '"rsa", "ec", "ed25519", or "any" for requests.'),
  key_bits: field.int(0, 'Size of the key; 0: the usual.'),
  signature_bits: field.int(0, "Of the hash; the issuer's key decides it."),
  use_pss: field.only(field.bool(false, 'RSA-PSS.'), "the issuer's key decides it"),
  key_usage: field.list(
    ['DigitalSignature', 'KeyAgreement', 'KeyEncipherment'],
    'Key usages, of those that the profile has.',
  ),
  ext_key_usage: field.list([], 'Extended key usages; a profile has to have them.'),
  ext_key_usage_oids: field.list([], 'The same by their OIDs.'),
  use_csr_common_name: field.bool(true, 'Whether the common name is that of the request.'),
  use_csr_sans: field.bool(true, 'Whether the names are those of the request.'),
  require_cn: field.bool(true, 'Whether there has to be a common name.'),
  cn_validations: field.list(['email', 'hostname'], '"hostname", with or without "email".'),
  generate_lease: field.bool(false, 'Whether certificates have a lease, whose end revokes them.'),
  no_store: field.only(field.bool(false, 'Not kept.'), 'the ledger keeps every certificate'),
  basic_constraints_valid_for_non_ca: field.bool(
    false,
    'Certificates say in any case that they are no authority.',
  ),
  not_before_duration: field.only(
    field.duration(30, 'Begins so long before now.'),
    decidedByProfile,
  ),
  not_before: field.only(field.text('', 'Beginning.'), decidedByProfile),
  not_before_bound: field.only(field.text('permit', 'Of the beginning.'), decidedByProfile),
  not_after: field.text('', 'The end of all its certificates, such as 2030-01-01T00:00:00Z.'),
  not_after_bound: field.only(field.text('permit', 'Of the end.'), 'max_ttl bounds it'),
  policy_identifiers: field.only(field.list([], 'Certificate policies.'), decidedByProfile),
  ou: field.only(field.list([], 'Organisational unit.'), commonNameAlone),
  organization: field.only(field.list([], 'Organisation.'), commonNameAlone),
  country: field.only(field.list([], 'Country.'), commonNameAlone),
  locality: field.only(field.list([], 'Locality.'), commonNameAlone),
  province: field.only(field.list([], 'Province.'), commonNameAlone),
  street_address: field.only(field.list([], 'Street.'), commonNameAlone),
  postal_code: field.only(field.list([], 'Postal code.'), commonNameAlone),
};

const sizes: Readonly<Record<string, readonly number[]>> = {
  rsa: [2048, 3072, 4096],
  ec: [256, 384, 521],
  ed25519: [0],
  any: [0],
};
const usualSize: Readonly<Record<string, number>> = { rsa: 2048, ec: 256, ed25519: 0, any: 0 };

/** Key usages by the names that roles have for them, which are written in either case. */
export const keyUsageByName: Readonly<Record<string, string>> = {
  digitalsignature: 'digitalSignature',
  contentcommitment: 'nonRepudiation',
  keyencipherment: 'keyEncipherment',
  dataencipherment: 'dataEncipherment',
  keyagreement: 'keyAgreement',
};

export const extKeyUsageByName: Readonly<Record<string, string>> = {
  serverauth: 'serverAuth',
  clientauth: 'clientAuth',
  codesigning: 'codeSigning',
  emailprotection: 'emailProtection',
  timestamping: 'timeStamping',
  ocspsigning: 'OCSPSigning',
  any: 'anyExtendedKeyUsage',
};

/** What is wrong across the fields of a role, and how they stand where nothing is. */
export function settleRole(
  values: Values,
): { readonly ok: true; readonly values: Values } | VaultRefusal {
  const type = get.text(values, 'key_type');
  const known = Object.hasOwn(sizes, type) ? sizes[type] : undefined;
  if (known === undefined) return badRequest(`unknown key type ${type.slice(0, 40)}`);
  const bits = get.number(values, 'key_bits') || (usualSize[type] ?? 0);
  if (bits !== 0 && !known.includes(bits)) {
    return badRequest(
      `unsupported bit length for ${type.toUpperCase()} key: ${bits}, expected ${known.join(', ')}`,
    );
  }
  const signatureBits = get.number(values, 'signature_bits');
  if (![0, 256].includes(signatureBits)) {
    return badRequest(
      `"signature_bits" ${signatureBits} is not supported: the issuer's key decides it`,
    );
  }
  const ttl = get.number(values, 'ttl');
  const max = get.number(values, 'max_ttl');
  if (max > 0 && ttl > max) return badRequest('"ttl" value must be less than "max_ttl" value');
  for (const name of get.list(values, 'key_usage')) {
    if (!Object.hasOwn(keyUsageByName, plain(name)))
      return badRequest(`unrecognized key usage ${name.slice(0, 60)}`);
  }
  for (const name of get.list(values, 'ext_key_usage')) {
    if (!Object.hasOwn(extKeyUsageByName, plain(name)))
      return badRequest(`unrecognized extended key usage ${name.slice(0, 60)}`);
  }
  const badOid = get
    .list(values, 'ext_key_usage_oids')
    .find((each) => !/^[0-2](\.\d+)+$/.test(each));
  if (badOid !== undefined)
    return badRequest(
      `"${badOid.slice(0, 60)}" could not be parsed as a valid oid for an extended key usage`,
    );
  const validations = get.list(values, 'cn_validations');
  if (
    !validations.includes('hostname') ||
    validations.some((each) => !['email', 'hostname'].includes(each))
  ) {
    return badRequest(
      '"cn_validations" is not supported but with "hostname": a common name is judged as a name',
    );
  }
  const notAfter = get.text(values, 'not_after');
  if (notAfter !== '' && timeOf(notAfter) === undefined) return badRequest(wrongTime(notAfter));
  return {
    ok: true,
    values: { ...values, key_bits: bits, signature_bits: type === 'rsa' ? 256 : 0 },
  };
}

/** Warnings of a role that was written, as clients show them. */
export function roleWarnings(values: Values): string[] {
  const warnings: string[] = [];
  if (get.bool(values, 'generate_lease')) {
    warnings.push(
      'it is encouraged to disable generate_lease and rely on revocation by serial number; a lease that ends revokes its certificate',
    );
  }
  const names = ['allowed_domains', 'allow_any_name', 'allow_localhost'] as const;
  if (names.every((name) => !isSet(values[name]))) {
    warnings.push(
      'the role allows no name: neither allowed_domains nor allow_any_name nor allow_localhost is set',
    );
  }
  return warnings;
}

/** Milliseconds since the epoch of a time as RFC 3339 writes it. */
export function timeOf(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/.test(text))
    return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

export function wrongTime(text: string): string {
  return `parsing time ${JSON.stringify(text.slice(0, 60))}: expected one such as "2030-01-01T00:00:00Z"`;
}

export function cutWarning(askedMs: number, maxMs: number): string {
  const [asked, most] = [goDuration(askedMs), goDuration(maxMs)];
  return `TTL "${asked}" is longer than permitted maxTTL "${most}", so maxTTL is being used`;
}

/** `ExtKeyUsageServerAuth`, `KeyUsageDigitalSignature` and the like are written too. */
export function plain(name: string): string {
  return name.toLowerCase().replace(/^(?:ext)?keyusage(?=.)/, '');
}

function isSet(value: unknown): boolean {
  return value === true || (Array.isArray(value) && value.length > 0);
}
