import { type FieldTable, field } from '../vault-fields.ts';

const ownNames = 'certificates of authorities carry a subject, and no names of services';

const subject: FieldTable = {
  common_name: field.text('', 'The common name.'),
  organization: field.list([], 'The organisation; one.'),
  ou: field.list([], 'The organisational unit; one.'),
  country: field.list([], 'The country; one.'),
  locality: field.only(
    field.list([], 'Locality.'),
    'a subject has country, organization, ou and common_name',
  ),
  province: field.only(
    field.list([], 'Province.'),
    'a subject has country, organization, ou and common_name',
  ),
  street_address: field.only(
    field.list([], 'Street.'),
    'a subject has country, organization, ou and common_name',
  ),
  postal_code: field.only(
    field.list([], 'Postal code.'),
    'a subject has country, organization, ou and common_name',
  ),
  serial_number: field.only(
    field.text('', 'A serial number in the subject.'),
    'a subject has country, organization, ou and common_name',
  ),
  alt_names: field.only(field.list([], 'Names.'), ownNames),
  ip_sans: field.only(field.list([], 'Addresses.'), ownNames),
  uri_sans: field.only(field.list([], 'URIs.'), ownNames),
  other_sans: field.only(field.list([], 'Other names.'), ownNames),
  exclude_cn_from_sans: field.bool(
    false,
    'The common name of an authority is in the subject alone.',
  ),
  format: field.text('pem', '"pem", "der" (in base64) or "pem_bundle".'),
  private_key_format: field.only(field.text('der', 'Of the key.'), 'keys of authorities stay here'),
};

const key: FieldTable = {
  key_type: field.text('rsa', '"rsa", "ec" or "ed25519".'),
  key_bits: field.int(0, 'Size of the key; 0: the usual.'),
  key_name: field.text('', 'A name to refer to the key by.'),
  signature_bits: field.int(0, 'Of the hash; the key decides it.'),
  managed_key_name: field.only(
    field.text('', 'A managed key.'),
    'keys are where those of ca.yaml are',
  ),
  managed_key_id: field.only(
    field.text('', 'A managed key.'),
    'keys are where those of ca.yaml are',
  ),
};

const certificate: FieldTable = {
  ttl: field.duration(0, 'Lifetime.'),
  not_after: field.text('', 'The end, such as 2030-01-01T00:00:00Z, instead of "ttl".'),
  not_before: field.only(field.text('', 'The beginning.'), 'it is five minutes ago'),
  not_before_duration: field.only(
    field.duration(30, 'Begins so long before now.'),
    'it is five minutes',
  ),
  max_path_length: field.int(
    -1,
    'Authorities below it; -1: three below a root, one fewer than its issuer below that.',
  ),
  permitted_dns_domains: field.list([], 'DNS names below which alone it may sign.'),
  use_pss: field.only(field.bool(false, 'RSA-PSS.'), 'the key decides it'),
};

export const rootFields: FieldTable = {
  ...subject,
  ...key,
  ...certificate,
  issuer_name: field.text('', 'A name to refer to it by.'),
  permitted_dns_domains: field.only(
    field.list([], 'DNS names.'),
    'a root is not constrained, intermediates are',
  ),
};

export const requestFields: FieldTable = {
  ...subject,
  ...key,
  add_basic_constraints: field.bool(false, 'The request says that it is for an authority.'),
  not_before_duration: field.only(
    field.duration(30, 'Begins so long before now.'),
    'the issuer decides it',
  ),
};

export const intermediateFields: FieldTable = {
  ...subject,
  ...certificate,
  csr: field.text('', 'PKCS #10 in PEM.'),
  issuer_ref: field.text('default', 'Which issuer of the mount signs.'),
  use_csr_values: field.bool(false, 'The subject is that of the request.'),
  signature_bits: field.int(0, "Of the hash; the issuer's key decides it."),
  skid: field.only(field.text('', 'Subject key id.'), 'the key decides it'),
  enforce_leaf_not_after_behavior: field.bool(true, 'It never ends after its issuer.'),
};
