import type { ServerResponse } from 'node:http';
import { type Denial, denial } from '@countersign/base';
import {
  formatLogProof,
  formatNoteKey,
  formatTilePath,
  parseTilePath,
  routes,
  serialRule,
} from '@countersign/wire';
import { unpackBundle } from '../log/log-files.ts';
import type { StoredTile } from '../log/log-tiles.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** `GET /v1/log/…`: the issuance log, for anybody. */
export const logHandlers = {
  logCheckpoint({ authority }: ApiContext): ApiAnswer {
    const note = authority.issuanceLog?.note;
    if (note === undefined) return missing('there is no checkpoint of a log here');
    return text(note, 'no-cache');
  },

  logKey({ authority }: ApiContext): ApiAnswer {
    const { issuanceLog } = authority;
    if (issuanceLog === undefined) return missing('there is no log here');
    return text(`${formatNoteKey(issuanceLog.key)}\n`, 'no-cache');
  },

  async logTile({ authority }: ApiContext, { path }: ApiCall): Promise<ApiAnswer> {
    const shown = path.slice(0, 200);
    const name = parseTilePath(path.slice(routes.logTile.path.length - 'tile/'.length));
    if (name === undefined) return missing(`"${shown}" is no path of a tile`);
    const tile = await authority.issuanceLog?.tile(name);
    if (tile === undefined) return missing(`the log has no "${formatTilePath(name)}"`);
    return { ok: true, stream: (response) => sendTile(response, tile, formatTilePath(name)) };
  },

  async logProof({ authority }: ApiContext, { query }: ApiCall): Promise<ApiAnswer> {
    const serial = query.get('serial') ?? '';
    const unknown = [...query.keys()].find((each) => each !== 'serial');
    if (unknown !== undefined) {
      const detail = `log proof query has unknown "${unknown.slice(0, 80)}", expected "serial"`;
      return denial('ERR_WIRE_UNKNOWN_MEMBER', detail);
    }
    if (!serialRule.pattern.test(serial)) {
      const detail = `log proof query: serial "${serial.slice(0, 80)}" is not ${serialRule.form}`;
      return denial('ERR_WIRE_MESSAGE', detail);
    }
    const answer = await authority.issuanceLog?.proofOf(serial);
    if (answer === undefined) return missing('there is no log here');
    return answer.ok ? { ok: true, body: formatLogProof(answer.proof) } : answer;
  },
};

/** C2SP tlog-tiles: what was signed for never changes; compressed for whoever takes it so. */
async function sendTile(response: ServerResponse, tile: StoredTile, path: string): Promise<void> {
  const takesGzip = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(
    String(response.req.headers['accept-encoding'] ?? ''),
  );
  const isPacked = tile.isPacked && takesGzip;
  const bytes = tile.isPacked && !isPacked ? await unpackBundle(tile.bytes, path) : tile.bytes;
  response.writeHead(200, {
    'content-type': routes.logTile.answer,
    'cache-control': 'public, max-age=31536000, immutable',
    vary: 'accept-encoding',
    ...(isPacked ? { 'content-encoding': 'gzip' } : {}),
    'content-length': bytes.byteLength,
  });
  response.end(bytes);
}

function text(body: string, cacheControl: string): ApiAnswer {
  return {
    ok: true,
    async stream(response) {
      response.writeHead(200, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': cacheControl,
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    },
  };
}

function missing(detail: string): Denial {
  return denial('ERR_LOG_MISSING', detail);
}
