import { type LogLevelControl, logLevels } from './log-level.ts';

/** What the admin pages show and do. */
export interface AdminView {
  /** Configuration and rules in force, without secrets. */
  readonly configDump: () => object;
  /** Certificates in use, and those who vouch for others. */
  readonly certificates: () => object;
  readonly connections: (wanted: ConnectionsWanted) => object;
  /** Why no new work should be sent here, or undefined. */
  readonly unready: () => string | undefined;
  readonly logLevel?: LogLevelControl | undefined;
  /** Begins what SIGTERM begins; undefined where nobody listens. */
  readonly drain?: (() => void) | undefined;
}

export interface ConnectionsWanted {
  /** A SPIFFE ID; with `*` at its end all that begin so. */
  readonly spiffeId: string | undefined;
  readonly direction: 'inbound' | 'outbound' | undefined;
  readonly limit: number;
}

export interface AdminPage {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** What may be asked with. */
  readonly allow?: string;
}

type Answer = (view: AdminView, query: URLSearchParams) => AdminPage;

const usualLimit = 1000;
const mostConnections = 100_000;

export const adminPages: Readonly<
  Record<string, { readonly get?: Answer; readonly post?: Answer }>
> = {
  '/ready': {
    get({ unready }) {
      const reason = unready();
      if (reason === undefined) return jsonPage(200, { status: 'ready' });
      return jsonPage(503, { status: 'not ready', reason });
    },
  },
  '/config_dump': { get: ({ configDump }) => jsonPage(200, configDump()) },
  '/certs': { get: ({ certificates }) => jsonPage(200, certificates()) },
  '/connections': {
    get({ connections }, query) {
      const odd = [...query.keys()].find((key) => !connectionKeys.has(key));
      if (odd !== undefined) return wrong(`parameter "${odd}"`, [...connectionKeys].join(', '));
      const direction = query.get('direction') ?? undefined;
      if (direction !== undefined && direction !== 'inbound' && direction !== 'outbound') {
        return wrong(`direction "${direction}"`, 'inbound, outbound');
      }
      const limit = Number(query.get('limit') ?? usualLimit);
      if (!Number.isInteger(limit) || limit < 0 || limit > mostConnections) {
        return wrong(`limit "${query.get('limit')}"`, `0 to ${mostConnections}`);
      }
      const spiffeId = query.get('spiffe_id') ?? undefined;
      return jsonPage(200, connections({ spiffeId, direction, limit }));
    },
  },
  '/logging': {
    get({ logLevel }) {
      if (logLevel === undefined) return textPage(404, 'no log level\n');
      return jsonPage(200, { level: logLevel.get() });
    },
    post({ logLevel }, query) {
      if (logLevel === undefined) return textPage(404, 'no log level\n');
      const level = logLevels.find((each) => each === query.get('level'));
      if (level === undefined) return wrong(`level "${query.get('level')}"`, logLevels.join(', '));
      logLevel.set(level);
      return jsonPage(200, { level });
    },
  },
  '/drain': {
    post({ drain }) {
      if (drain === undefined) return textPage(404, 'nothing to drain\n');
      drain();
      return jsonPage(202, { status: 'draining' });
    },
  },
};

const connectionKeys: ReadonlySet<string> = new Set(['spiffe_id', 'direction', 'limit']);

export function jsonPage(status: number, value: object): AdminPage {
  return { status, type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}

export function textPage(status: number, body: string): AdminPage {
  return { status, type: 'text/plain', body };
}

function wrong(what: string, expected: string): AdminPage {
  return textPage(400, `unknown ${what}, expected ${expected}\n`);
}
