/** One call of a run against two servers of Vault's API. `{{name}}` stands for what an earlier call has saved. */
export interface VaultCall {
  readonly does: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** What was saved under that name; `root` unless given, `none` for no token. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Name, and where its value stands in the answer. */
  readonly save?: Readonly<Record<string, string>>;
}

const post = (
  does: string,
  path: string,
  body: unknown = {},
  more: Partial<VaultCall> = {},
): VaultCall => ({ does, method: 'POST', path, body, ...more });
const put = (
  does: string,
  path: string,
  body: unknown = {},
  more: Partial<VaultCall> = {},
): VaultCall => ({ does, method: 'PUT', path, body, ...more });
const get = (does: string, path: string, more: Partial<VaultCall> = {}): VaultCall => ({
  does,
  method: 'GET',
  path,
  ...more,
});
const list = (does: string, path: string, more: Partial<VaultCall> = {}): VaultCall => ({
  does,
  method: 'LIST',
  path,
  ...more,
});
const remove = (does: string, path: string, more: Partial<VaultCall> = {}): VaultCall => ({
  does,
  method: 'DELETE',
  path,
  ...more,
});

const open = { token: 'none' } as const;
const name = 'web.example.test';

/** The usual set-up of a root and an intermediate, everything that is done with them, and what is refused. */
export const vaultCalls: readonly VaultCall[] = [
  get('health', 'sys/health', open),
  get('seal status', 'sys/seal-status', open),
  get('mounts', 'sys/mounts'),
  post('a mount', 'sys/mounts/dpki', { type: 'pki', config: { max_lease_ttl: '720h' } }),
  post('a mount that is there', 'sys/mounts/dpki', { type: 'pki' }),
  post('a mount of another kind', 'sys/mounts/other', { type: 'nonsense' }),
  post('tune a mount', 'sys/mounts/dpki/tune', { max_lease_ttl: '1000h' }),
  get('how a mount is tuned', 'sys/mounts/dpki/tune'),
  get('a mount', 'sys/mounts/dpki'),
  get('the mount of a path', 'sys/internal/ui/mounts/dpki'),
  get('mounts for people', 'sys/internal/ui/mounts'),
  get('issuers before there are any', 'dpki/issuer/default'),
  post('addresses in certificates', 'dpki/config/urls', {
    issuing_certificates: 'http://ca.example.test/ca',
    crl_distribution_points: 'http://ca.example.test/crl',
  }),
  post('a root', 'dpki/root/generate/internal', {
    common_name: 'Root',
    ttl: '700h',
    key_type: 'ec',
  }),
  post('another mount', 'sys/mounts/dpki_int', { type: 'pki' }),
  post(
    'a request for an intermediate',
    'dpki_int/intermediate/generate/internal',
    { common_name: 'Intermediate', key_type: 'ec' },
    { save: { csrOfInt: 'data.csr' } },
  ),
  post(
    'an intermediate',
    'dpki/root/sign-intermediate',
    { csr: '{{csrOfInt}}', common_name: 'Intermediate', ttl: '600h', format: 'pem_bundle' },
    { save: { int: 'data.certificate' } },
  ),
  post('its certificate', 'dpki_int/intermediate/set-signed', { certificate: '{{int}}' }),
  post('no certificate', 'dpki_int/intermediate/set-signed', { certificate: 'x' }),
  get('addresses in certificates', 'dpki/config/urls'),
  list('roles before there are any', 'dpki_int/roles'),
  post('a role', 'dpki_int/roles/web', {
    allowed_domains: 'example.test',
    allow_subdomains: true,
    max_ttl: '48h',
    key_type: 'ec',
  }),
  post('a role with leases', 'dpki_int/roles/leased', {
    allowed_domains: ['example.test'],
    allow_subdomains: true,
    generate_lease: true,
    key_type: 'ec',
    ttl: '1h',
  }),
  post('a role with a key that is not', 'dpki_int/roles/bad', { key_type: 'foo' }),
  post('a role whose ttl is beyond its bound', 'dpki_int/roles/bad', { ttl: '2h', max_ttl: '1h' }),
  get('a role', 'dpki_int/roles/web'),
  get('no role', 'dpki_int/roles/none'),
  list('roles', 'dpki_int/roles'),
  get('roles by GET', 'dpki_int/roles?list=true'),
  post(
    'a certificate with its key',
    'dpki_int/issue/web',
    { common_name: name, ttl: '1h' },
    { save: { serial: 'data.serial_number', key: 'data.private_key' } },
  ),
  put(
    'another by PUT, for longer than is allowed',
    'dpki_int/issue/web',
    { common_name: name, alt_names: 'www.example.test', ttl: '100h' },
    { save: { serial2: 'data.serial_number' } },
  ),
  post('one with a lease', 'dpki_int/issue/leased', { common_name: name }),
  post('one in DER', 'dpki_int/issue/web', { common_name: name, format: 'der', ttl: '1h' }),
  post('one in a bundle', 'dpki_int/issue/web', {
    common_name: name,
    format: 'pem_bundle',
    private_key_format: 'pkcs8',
    ttl: '1h',
  }),
  post('one for an address', 'dpki_int/issue/web', {
    common_name: name,
    ip_sans: '127.0.0.1',
    ttl: '1h',
  }),
  post('one without a root', 'dpki_int/issue/web', {
    common_name: name,
    remove_roots_from_chain: true,
    ttl: '1h',
  }),
  post('a signed request', 'dpki_int/sign/web', { csr: '{{csr}}', common_name: name, ttl: '1h' }),
  post('a request verbatim', 'dpki_int/sign-verbatim', { csr: '{{csr}}', ttl: '1h' }),
  post('by an issuer', 'dpki_int/issuer/default/sign/web', {
    csr: '{{csr}}',
    common_name: name,
    ttl: '1h',
  }),
  post('a name that the role does not allow', 'dpki_int/issue/web', {
    common_name: 'evil.invalid',
  }),
  post('a further name that it does not allow', 'dpki_int/issue/web', {
    common_name: name,
    alt_names: 'evil.invalid',
  }),
  post('a URI that it does not allow', 'dpki_int/issue/web', {
    common_name: name,
    uri_sans: 'spiffe://example.com/x',
  }),
  post('no name', 'dpki_int/issue/web', {}),
  post('by no role', 'dpki_int/issue/none', { common_name: name }),
  post('two ends', 'dpki_int/issue/web', {
    common_name: name,
    ttl: '1h',
    not_after: '2030-01-01T00:00:00Z',
  }),
  post('no end', 'dpki_int/issue/web', { common_name: name, not_after: 'nonsense' }),
  post('no duration', 'dpki_int/issue/web', { common_name: name, ttl: 'bogus' }),
  post('no format', 'dpki_int/issue/web', { common_name: name, format: 'nonsense' }),
  post('no request', 'dpki_int/sign/web', { common_name: name }),
  post('what is no request', 'dpki_int/sign/web', { csr: 'zz', common_name: name }),
  get('a certificate', 'dpki_int/cert/{{serial}}', open),
  get('a certificate in DER', 'dpki_int/cert/{{serial}}/raw', open),
  get('no certificate', 'dpki_int/cert/11:22'),
  get('the authority', 'dpki_int/cert/ca', open),
  get('the chain', 'dpki_int/cert/ca_chain', open),
  get('the authority in DER', 'dpki_int/ca', open),
  get('the authority in PEM', 'dpki_int/ca/pem', open),
  get('the chain in PEM', 'dpki_int/ca_chain', open),
  get('the list', 'dpki_int/crl', open),
  get('the list in PEM', 'dpki_int/crl/pem', open),
  get('the list in JSON', 'dpki_int/cert/crl', open),
  get('rotate the list', 'dpki_int/crl/rotate'),
  list('certificates', 'dpki_int/certs'),
  post('revoke', 'dpki_int/revoke', { serial_number: '{{serial}}' }),
  post('revoke again', 'dpki_int/revoke', { serial_number: '{{serial}}' }),
  post('revoke nothing', 'dpki_int/revoke', {}),
  post('revoke what is not there', 'dpki_int/revoke', { serial_number: '11:22' }),
  get('a revoked certificate', 'dpki_int/cert/{{serial}}'),
  list('revoked certificates', 'dpki_int/certs/revoked'),
  post('revoke with another key', 'dpki_int/revoke-with-key', {
    serial_number: '{{serial2}}',
    private_key: '{{key}}',
  }),
  list('issuers', 'dpki_int/issuers'),
  get('an issuer', 'dpki_int/issuer/default'),
  get('an issuer in JSON', 'dpki_int/issuer/default/json', open),
  get('an issuer in PEM', 'dpki_int/issuer/default/pem', open),
  get('the list of an issuer', 'dpki_int/issuer/default/crl', open),
  get('no issuer', 'dpki_int/issuer/none'),
  get('which issuer signs', 'dpki_int/config/issuers'),
  list('keys', 'dpki_int/keys'),
  post('tidy', 'dpki_int/tidy', { tidy_cert_store: true }),
  remove('a role', 'dpki_int/roles/leased'),
  remove('a role that is not there', 'dpki_int/roles/leased'),
  put('a policy', 'sys/policies/acl/web', {
    policy: 'path "dpki_int/sign/web" { capabilities = ["update"] }',
  }),
  get('a policy', 'sys/policies/acl/web'),
  list('policies', 'sys/policies/acl'),
  put('no policy', 'sys/policies/acl/bad', { policy: 'path "x" {' }),
  post('what a token may', 'sys/capabilities-self', { paths: ['dpki_int/sign/web'] }),
  post(
    'a token',
    'auth/token/create',
    { policies: ['web'], ttl: '1h' },
    { save: { child: 'auth.client_token', accessor: 'auth.accessor' } },
  ),
  get('itself', 'auth/token/lookup-self', { token: 'child' }),
  post('by accessor', 'auth/token/lookup-accessor', { accessor: '{{accessor}}' }),
  post('renew', 'auth/token/renew-self', { increment: '2h' }, { token: 'child' }),
  post(
    'what it may',
    'dpki_int/sign/web',
    { csr: '{{csr}}', common_name: name, ttl: '1h' },
    { token: 'child' },
  ),
  get('what it may not', 'dpki_int/roles/web', { token: 'child' }),
  post('end', 'auth/token/revoke-self', {}, { token: 'child' }),
  get('ended', 'auth/token/lookup-self', { token: 'child' }),
  get('none', 'auth/token/lookup-self', open),
  get('by Bearer', 'auth/token/lookup-self', {
    token: 'none',
    headers: { authorization: 'Bearer {{root}}' },
  }),
  get('ways to log in', 'sys/auth'),
  post('a way to log in', 'sys/auth/dapprole', { type: 'approle' }),
  post('a role to log in by', 'auth/dapprole/role/web', {
    token_policies: 'web',
    token_ttl: '20m',
    secret_id_num_uses: 2,
  }),
  get('a role to log in by', 'auth/dapprole/role/web'),
  list('roles to log in by', 'auth/dapprole/role'),
  get('a role id', 'auth/dapprole/role/web/role-id', { save: { roleId: 'data.role_id' } }),
  post(
    'a secret id',
    'auth/dapprole/role/web/secret-id',
    {},
    { save: { secretId: 'data.secret_id' } },
  ),
  post('log in', 'auth/dapprole/login', { role_id: '{{roleId}}', secret_id: '{{secretId}}' }, open),
  post(
    'log in with a wrong secret',
    'auth/dapprole/login',
    { role_id: '{{roleId}}', secret_id: 'nope' },
    open,
  ),
  post('log in with nothing', 'auth/dapprole/login', {}, open),
  post('a secret id that is known', 'auth/dapprole/role/web/secret-id/lookup', {
    secret_id: '{{secretId}}',
  }),
  post('certificates as a way', 'sys/auth/dcert', { type: 'cert' }),
  post('log in without a certificate', 'auth/dcert/login', { name: 'web' }, open),
  post('a cluster as a way', 'sys/auth/dk8s', { type: 'kubernetes' }),
  post('accounts of a cluster', 'auth/dk8s/role/web', {
    bound_service_account_names: 'a',
    bound_service_account_namespaces: 'b',
    token_policies: 'web',
  }),
  get('accounts of a cluster', 'auth/dk8s/role/web'),
  post('log in from no cluster', 'auth/dk8s/login', { role: 'web', jwt: 'x' }, open),
  post('tokens of others as a way', 'sys/auth/djwt', { type: 'jwt' }),
  post('their keys', 'auth/djwt/config', { jwt_validation_pubkeys: '{{publicKey}}' }),
  post('which of them', 'auth/djwt/role/web', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: 'vault',
    token_policies: 'web',
  }),
  post('log in with no token', 'auth/djwt/login', { role: 'web', jwt: 'x' }, open),
  get('no path', 'sys/nonsense'),
  get('no mount', 'nothing/here'),
  get('no path of a mount', 'dpki_int/nonsense'),
  get('what is written alone', 'dpki_int/issue/web'),
  get('help', 'dpki_int/roles/web?help=1'),
  remove('a way to log in', 'sys/auth/dapprole'),
  remove('a mount', 'sys/mounts/dpki_int'),
  get('what was mounted', 'dpki_int/ca', open),
];
