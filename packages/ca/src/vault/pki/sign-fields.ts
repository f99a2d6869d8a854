import { type FieldTable, field } from '../vault-fields.ts';

const commonNameAlone = 'subjects hold a common name and nothing else';

const every: FieldTable = {
  role: field.text('', 'The role.'),
  issuer_ref: field.text('default', 'Which issuer of the mount signs.'),
  common_name: field.text('', 'The common name; a DNS name or an address.'),
  alt_names: field.list([], 'Further DNS names.'),
  ip_sans: field.list([], 'Addresses.'),
  uri_sans: field.list([], 'One SPIFFE ID.'),
  other_sans: field.only(
    field.list([], 'Other names.'),
    'certificates carry DNS names, addresses and SPIFFE IDs',
  ),
  user_ids: field.only(field.list([], 'User ids.'), commonNameAlone),
  serial_number: field.only(field.text('', 'A serial number in the subject.'), commonNameAlone),
  ttl: field.duration(0, 'Lifetime.'),
  not_after: field.text('', 'The end, such as 2030-01-01T00:00:00Z, instead of "ttl".'),
  not_before: field.only(field.text('', 'The beginning.'), 'it is now'),
  format: field.text('pem', '"pem", "der" (in base64) or "pem_bundle".'),
  exclude_cn_from_sans: field.bool(false, 'The common name is in the subject alone.'),
  remove_roots_from_chain: field.bool(false, 'Whether "ca_chain" goes without the root.'),
};

export const signFields: FieldTable = { ...every, csr: field.text('', 'PKCS #10 in PEM.') };

export const issueFields: FieldTable = {
  ...every,
  private_key_format: field.text('der', '"der", or "pkcs8" for PKCS #8.'),
};

export const verbatimFields: FieldTable = {
  ...signFields,
  key_usage: field.only(
    field.list(['DigitalSignature', 'KeyAgreement', 'KeyEncipherment'], 'Key usages.'),
    'profiles of ca.yaml decide it',
  ),
  ext_key_usage: field.only(
    field.list([], 'Extended key usages.'),
    'profiles of ca.yaml decide it',
  ),
  ext_key_usage_oids: field.only(
    field.list([], 'Extended key usages.'),
    'profiles of ca.yaml decide it',
  ),
  signature_bits: field.only(field.int(0, 'Of the hash.'), "the issuer's key decides it"),
  use_pss: field.only(field.bool(false, 'RSA-PSS.'), "the issuer's key decides it"),
  basic_constraints_valid_for_non_ca: field.bool(
    false,
    'Certificates say in any case that they are no authority.',
  ),
};
