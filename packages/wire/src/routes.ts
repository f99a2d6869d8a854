/** Who may call: nobody is asked, a join token in the body, a verified client certificate, or the admin socket alone. */
export type RouteAuth = 'none' | 'token' | 'mtls' | 'admin';

export interface Route {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  /** One that ends in a slash stands for everything below it. */
  readonly path: string;
  readonly auth: RouteAuth;
  /** Larger requests are refused with 413 before they are read whole. */
  readonly maxBodyBytes: number;
  /** What the client reads at most of an answer; 0 for a stream. */
  readonly maxAnswerBytes: number;
  readonly answer:
    | 'application/json'
    | 'application/x-pem-file'
    | 'application/x-ndjson'
    | 'application/octet-stream'
    | 'text/plain';
}

const kib = 1024;

/** Every path of the authority's API. The server mounts these, the client calls these; there are no others. */
export const routes = {
  bundle: {
    name: 'bundle',
    method: 'GET',
    path: '/v1/bundle',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  bundlePem: {
    name: 'bundlePem',
    method: 'GET',
    path: '/v1/bundle.pem',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/x-pem-file',
  },
  enrol: {
    name: 'enrol',
    method: 'POST',
    path: '/v1/enrol',
    auth: 'token',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  tpmChallenge: {
    name: 'tpmChallenge',
    method: 'POST',
    path: '/v1/attest/tpm',
    auth: 'none',
    maxBodyBytes: 8 * kib,
    maxAnswerBytes: 16 * kib,
    answer: 'application/json',
  },
  renew: {
    name: 'renew',
    method: 'POST',
    path: '/v1/renew',
    auth: 'mtls',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  issueBatch: {
    name: 'issueBatch',
    method: 'POST',
    path: '/v1/issue/batch',
    auth: 'mtls',
    /** 256 requests; those with the largest keys fit by the hundred. */
    maxBodyBytes: 2048 * kib,
    maxAnswerBytes: 16 * 1024 * kib,
    answer: 'application/json',
  },
  revoke: {
    name: 'revoke',
    method: 'POST',
    path: '/v1/revoke',
    auth: 'mtls',
    maxBodyBytes: 16 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  keyRevoke: {
    name: 'keyRevoke',
    method: 'POST',
    path: '/v1/revoke/by-key',
    auth: 'none',
    maxBodyBytes: 16 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  status: {
    name: 'status',
    method: 'GET',
    path: '/v1/status',
    auth: 'mtls',
    maxBodyBytes: 0,
    maxAnswerBytes: 16 * 1024 * kib,
    answer: 'application/json',
  },
  feed: {
    name: 'feed',
    method: 'GET',
    path: '/v1/feed',
    auth: 'mtls',
    maxBodyBytes: 0,
    maxAnswerBytes: 0,
    answer: 'application/x-ndjson',
  },
  lease: {
    name: 'lease',
    method: 'POST',
    path: '/v1/feed/lease',
    auth: 'mtls',
    maxBodyBytes: 16 * kib,
    maxAnswerBytes: 64 * kib,
    answer: 'application/json',
  },
  jwtSvid: {
    name: 'jwtSvid',
    method: 'POST',
    path: '/v1/jwt-svid',
    auth: 'mtls',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 128 * kib,
    answer: 'application/json',
  },
  jwks: {
    name: 'jwks',
    method: 'GET',
    path: '/v1/jwks',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 256 * kib,
    answer: 'application/json',
  },
  openidConfiguration: {
    name: 'openidConfiguration',
    method: 'GET',
    path: '/.well-known/openid-configuration',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 64 * kib,
    answer: 'application/json',
  },
  entries: {
    name: 'entries',
    method: 'GET',
    path: '/v1/entries',
    auth: 'mtls',
    maxBodyBytes: 0,
    maxAnswerBytes: 32 * 1024 * kib,
    answer: 'application/json',
  },
  createEntry: {
    name: 'createEntry',
    method: 'POST',
    path: '/v1/entries',
    auth: 'mtls',
    maxBodyBytes: 256 * kib,
    maxAnswerBytes: 256 * kib,
    answer: 'application/json',
  },
  deleteEntry: {
    name: 'deleteEntry',
    method: 'POST',
    path: '/v1/entries/delete',
    auth: 'mtls',
    maxBodyBytes: 4 * kib,
    maxAnswerBytes: 256 * kib,
    answer: 'application/json',
  },
  agentWatch: {
    name: 'agentWatch',
    method: 'GET',
    path: '/v1/agent/watch',
    auth: 'mtls',
    maxBodyBytes: 0,
    maxAnswerBytes: 0,
    answer: 'application/x-ndjson',
  },
  logCheckpoint: {
    name: 'logCheckpoint',
    method: 'GET',
    path: '/v1/log/checkpoint',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 64 * kib,
    answer: 'text/plain',
  },
  logKey: {
    name: 'logKey',
    method: 'GET',
    path: '/v1/log/key',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 4 * kib,
    answer: 'text/plain',
  },
  logProof: {
    name: 'logProof',
    method: 'GET',
    path: '/v1/log/proof',
    auth: 'none',
    maxBodyBytes: 0,
    maxAnswerBytes: 256 * kib,
    answer: 'application/json',
  },
  logTile: {
    name: 'logTile',
    method: 'GET',
    path: '/v1/log/tile/',
    auth: 'none',
    maxBodyBytes: 0,
    /** 256 entries of 65,535 bytes. */
    maxAnswerBytes: 17 * 1024 * kib,
    answer: 'application/octet-stream',
  },
  adminToken: {
    name: 'adminToken',
    method: 'POST',
    path: '/v1/admin/token',
    auth: 'admin',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 64 * kib,
    answer: 'application/json',
  },
  adminVaultToken: {
    name: 'adminVaultToken',
    method: 'POST',
    path: '/v1/admin/vault-token',
    auth: 'admin',
    maxBodyBytes: 16 * kib,
    maxAnswerBytes: 16 * kib,
    answer: 'application/json',
  },
  adminLedger: {
    name: 'adminLedger',
    method: 'POST',
    path: '/v1/admin/ledger',
    auth: 'admin',
    maxBodyBytes: 4 * kib,
    /** 1000 records, of which a certificate may have many names. */
    maxAnswerBytes: 256 * 1024 * kib,
    answer: 'application/json',
  },
  adminRotation: {
    name: 'adminRotation',
    method: 'POST',
    path: '/v1/admin/rotation',
    auth: 'admin',
    maxBodyBytes: 1024 * kib,
    maxAnswerBytes: 8192 * kib,
    answer: 'application/json',
  },
  adminList: {
    name: 'adminList',
    method: 'POST',
    path: '/v1/admin/list',
    auth: 'admin',
    maxBodyBytes: 1536 * kib,
    maxAnswerBytes: 8192 * kib,
    answer: 'application/json',
  },
  adminIssue: {
    name: 'adminIssue',
    method: 'POST',
    path: '/v1/admin/issue',
    auth: 'admin',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  adminExplain: {
    name: 'adminExplain',
    method: 'POST',
    path: '/v1/admin/explain',
    auth: 'admin',
    maxBodyBytes: 64 * kib,
    maxAnswerBytes: 1024 * kib,
    answer: 'application/json',
  },
  adminCertificates: {
    name: 'adminCertificates',
    method: 'GET',
    path: '/v1/admin/certificates',
    auth: 'admin',
    maxBodyBytes: 0,
    maxAnswerBytes: 4096 * kib,
    answer: 'application/json',
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof routes;

/** The route of a request target without its query; `method` where only the method is wrong (405 rather than 404). */
export function findRoute(
  method: string,
  path: string,
):
  | { readonly route: Route }
  | { readonly refused: 'path' }
  | { readonly refused: 'method'; readonly allow: string } {
  const samePath = byPath.get(path) ?? trees.filter((tree) => path.startsWith(tree.path));
  if (samePath.length === 0) return { refused: 'path' };
  const route = samePath.find((each) => each.method === method);
  if (route !== undefined) return { route };
  return { refused: 'method', allow: samePath.map((each) => each.method).join(', ') };
}

const byPath: ReadonlyMap<string, readonly Route[]> = Map.groupBy(
  Object.values<Route>(routes),
  (route) => route.path,
);
/** Those that stand for everything below them. */
const trees = Object.values<Route>(routes).filter((route) => route.path.endsWith('/'));
