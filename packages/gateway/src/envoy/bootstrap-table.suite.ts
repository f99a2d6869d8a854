/** One request of the table, and what becomes of it. */
export interface Asked {
  readonly name: string;
  readonly listener: 'edge' | 'clear' | 'tunnel';
  readonly client?: 'alice' | 'mallory' | 'revoked' | 'foreign' | 'plain';
  readonly sni?: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A status, `refused` for who is let into nothing, `unavailable` where the upstream cannot be had. */
  readonly expect: number | 'refused' | 'unavailable';
  /** What the upstream must have seen, or the client got. */
  readonly sees?: Readonly<Record<string, string | undefined>>;
}

const at = (sni: string, rest: Omit<Asked, 'listener' | 'sni'>): Asked => ({
  ...{ listener: 'edge', sni, ...rest, headers: { host: sni, ...rest.headers } },
});
const clear = (rest: Omit<Asked, 'listener'>): Asked => ({
  ...{ listener: 'clear', ...rest, headers: { host: 'web.test', ...rest.headers } },
});

/** Asked of ours in every run, of a real Envoy by `npm run interop`. */
export const table: readonly Asked[] = [
  at('mutual.test', {
    name: 'the right client',
    client: 'alice',
    expect: 200,
    sees: { xfcc: 'own' },
  }),
  at('mutual.test', {
    name: 'what the right client says of itself',
    ...{ client: 'alice', headers: { 'x-forwarded-client-cert': 'Hash=00' }, expect: 200 },
    sees: { xfcc: 'own' },
  }),
  at('mutual.test', { name: 'a client without a certificate', expect: 'refused' }),
  at('mutual.test', { name: 'a client of another name', client: 'mallory', expect: 'refused' }),
  at('mutual.test', { name: 'a client whose name is no URI', client: 'plain', expect: 'refused' }),
  at('mutual.test', { name: 'a revoked client', client: 'revoked', expect: 'refused' }),
  at('mutual.test', {
    name: 'a client of another authority',
    client: 'foreign',
    expect: 'refused',
  }),
  at('optional.test', {
    name: 'an optional certificate, absent',
    expect: 200,
    sees: { xfcc: undefined },
  }),
  at('optional.test', {
    name: 'an optional certificate',
    client: 'mallory',
    expect: 200,
    sees: { xfcc: undefined },
  }),
  at('optional.test', {
    name: 'an optional certificate, wrong',
    client: 'foreign',
    expect: 'refused',
  }),
  at('a.simple.test', { name: 'a server name by its suffix', expect: 200 }),
  at('a.simple.test', { name: 'a certificate nobody asked for', client: 'foreign', expect: 200 }),
  at('a.b.simple.test', { name: 'a longer name under the suffix', expect: 200 }),
  at('other.test', {
    name: 'a server name that nobody serves',
    client: 'alice',
    expect: 'refused',
  }),
  { name: 'no server name', listener: 'edge', client: 'alice', expect: 'refused' },

  at('rbac.test', { name: 'RBAC: whom a policy names', client: 'alice', expect: 200 }),
  at('rbac.test', { name: 'RBAC: another method', client: 'alice', method: 'POST', expect: 403 }),
  at('rbac.test', { name: 'RBAC: whom none names', client: 'mallory', expect: 403 }),
  at('rbac.test', { name: 'RBAC: nobody, for everybody', path: '/public?x=1', expect: 200 }),
  at('rbac.test', { name: 'RBAC: nobody', expect: 403 }),
  at('rbac.test', {
    name: 'RBAC: a DNS name',
    client: 'plain',
    path: '/any',
    method: 'PUT',
    expect: 200,
  }),
  at('rbac.test', {
    name: 'RBAC: a query counts in :path',
    client: 'plain',
    path: '/?secret',
    expect: 403,
  }),
  at('rbac.test', {
    name: 'RBAC: whoever has a certificate',
    client: 'mallory',
    path: '/members/x',
    expect: 200,
  }),
  at('rbac.test', {
    name: 'RBAC: TLS is enough where no name is asked for',
    path: '/members/x',
    expect: 200,
  }),
  at('rbac.test', {
    name: 'RBAC: denied but to one',
    client: 'alice',
    path: '/admin/x',
    expect: 200,
  }),
  at('rbac.test', { name: 'RBAC: denied', client: 'plain', path: '/admin/x', expect: 403 }),
  at('rbac.test', {
    name: 'RBAC: denied by a header',
    ...{ client: 'alice', headers: { 'x-bad': '' }, expect: 403 },
  }),

  clear({ name: 'a prefix', path: '/prefix/x?q=1', expect: 200, sees: { url: '/prefix/x?q=1' } }),
  clear({ name: 'no route', path: '/nothing', expect: 404 }),
  clear({
    name: 'a virtual host that is not there',
    headers: { host: 'nowhere.test' },
    expect: 404,
  }),
  clear({
    name: 'a host with a port',
    path: '/prefix',
    headers: { host: 'web.test:80' },
    expect: 404,
  }),
  clear({
    name: 'a WebSocket where no upgrade_configs take it',
    path: '/header',
    headers: {
      'x-kind': 'One',
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    },
    expect: 403,
  }),
  clear({ name: 'a host by its suffix', headers: { host: 'x.wild.test' }, expect: 200 }),
  clear({ name: 'a host by a longer suffix', headers: { host: 'x.y.wild.test' }, expect: 201 }),
  clear({ name: 'a host by its prefix', headers: { host: 'www.some.test' }, expect: 202 }),
  clear({ name: 'an exact path', path: '/exact', expect: 203 }),
  clear({ name: 'an exact path and more', path: '/exact/x', expect: 404 }),
  clear({ name: 'another case', path: '/PREFIX', expect: 404 }),
  clear({ name: 'another case where it does not count', path: '/CASELESS/x', expect: 206 }),
  clear({ name: 'an expression, the whole path', path: '/re/12', expect: 207 }),
  clear({ name: 'an expression, a part of the path', path: '/re/12/x', expect: 404 }),
  clear({ name: 'whole segments', path: '/seg/x', expect: 208 }),
  clear({ name: 'half a segment', path: '/segx', expect: 404 }),
  clear({ name: 'a header', path: '/header', headers: { 'x-kind': 'One' }, expect: 210 }),
  clear({
    name: 'a header of another case',
    path: '/header',
    headers: { 'x-kind': 'one' },
    expect: 404,
  }),
  clear({
    name: 'a header whose case does not count',
    path: '/header',
    headers: { 'x-any': 'LOUD' },
    expect: 211,
  }),
  clear({
    name: 'a header that must not be so',
    path: '/not',
    headers: { 'x-kind': 'b' },
    expect: 212,
  }),
  clear({
    name: 'a header that must not be so, and is',
    path: '/not',
    headers: { 'x-kind': 'a' },
    expect: 404,
  }),
  clear({ name: 'a header that must not be so, absent', path: '/not', expect: 404 }),
  clear({ name: 'a header that must not be there', path: '/absent', expect: 213 }),
  clear({
    name: 'a header that must not be there, and is',
    path: '/absent',
    headers: { 'x-kind': '' },
    expect: 404,
  }),
  clear({ name: 'a query', path: '/query?a=1&mode=dry', expect: 214 }),
  clear({ name: 'another query', path: '/query?mode=wet', expect: 404 }),
  clear({ name: 'a query that is there', path: '/query?flag', expect: 215 }),
  clear({ name: 'a method', path: '/method', method: 'POST', expect: 216 }),
  clear({ name: 'another method', path: '/method', expect: 404 }),
  clear({
    name: 'a prefix rewritten',
    path: '/rewrite/x?q=1',
    expect: 200,
    sees: { url: '/new/x?q=1', host: 'inner.test' },
  }),
  clear({
    name: 'an expression rewritten',
    path: '/regex/a/b',
    expect: 200,
    sees: { url: '/b-a' },
  }),
  clear({
    name: 'headers changed',
    ...{
      path: '/headers',
      headers: { 'x-set': 'theirs', 'x-add': 'theirs', 'x-remove': '1', 'x-if': 'theirs' },
    },
    expect: 200,
    sees: {
      'x-set': 'ours',
      'x-add': 'theirs, ours',
      'x-remove': undefined,
      'x-if': 'theirs',
      'x-host': 'vhost',
      answered: 'yes',
    },
  }),
  clear({
    name: 'a redirect',
    path: '/old/x?q=1',
    expect: 301,
    sees: { location: 'https://web.test/old/x?q=1' },
  }),
  clear({
    name: 'a redirect elsewhere',
    path: '/else?q=1',
    expect: 308,
    sees: { location: 'http://new.test:8443/there' },
  }),
  clear({
    name: 'a redirect of a prefix',
    path: '/pre/x?q=1',
    expect: 302,
    sees: { location: 'http://web.test/post/x?q=1' },
  }),
  clear({
    name: 'a host that wants TLS',
    headers: { host: 'tls.test' },
    path: '/x?y=1',
    expect: 301,
    sees: { location: 'https://tls.test/x?y=1' },
  }),
  clear({
    name: 'a response by itself',
    path: '/direct',
    expect: 418,
    sees: { body: 'short and stout' },
  }),
  clear({ name: 'an upstream that is not there', path: '/dead', expect: 'unavailable' }),
  clear({ name: 'an upstream without an endpoint', path: '/empty', expect: 'unavailable' }),
  clear({ name: 'retries pass over the dead endpoint', path: '/half', expect: 200 }),
  clear({ name: 'an upstream that does not answer', path: '/slow', expect: 504 }),
  clear({ name: 'an answer that is asked for again', path: '/flaky', expect: 200 }),
  clear({ name: 'an upstream with TLS, of the right name', path: '/tls', expect: 200 }),
  clear({ name: 'an upstream with TLS that wants to know us', path: '/mutual', expect: 200 }),
  clear({
    name: 'an upstream with TLS, of another name',
    path: '/wrong-name',
    expect: 'unavailable',
  }),
  clear({
    name: 'an upstream with TLS, of another authority',
    path: '/wrong-ca',
    expect: 'unavailable',
  }),
  clear({ name: 'names that are looked up', path: '/dns', expect: 200 }),
  {
    name: 'bytes through a tunnel',
    listener: 'tunnel',
    client: 'alice',
    path: '/prefix',
    expect: 200,
  },
  { name: 'bytes of a stranger', listener: 'tunnel', expect: 'refused' },
];
