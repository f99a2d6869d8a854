import { request } from 'node:http';
import { CountersignError, messageOf } from '@countersign/base';
import { Option } from 'commander';

/** `--admin` of verbs that ask a running gateway, sidecar or tunnel. */
export function adminOption(): Option {
  return new Option(
    '--admin <url>',
    'its admin pages: http://127.0.0.1:PORT or unix:PATH',
  ).makeOptionMandatory();
}

const patienceMs = 10_000;

/**
 * What an admin page answers.
 *
 * @param page path and query
 * @throws CountersignError ERR_USAGE, ERR_CLI_ADMIN
 */
export async function askAdmin(admin: string, page: string): Promise<unknown> {
  const attempted = `ask "${admin}" for "${page}"`;
  const { status, body } = await answerOf(placeOf(admin), page, attempted);
  if (status === 200) return JSON.parse(body);
  const reason = body.trim().slice(0, 200);
  throw new CountersignError('ERR_CLI_ADMIN', `${attempted}: it answered ${status}, "${reason}"`);
}

type Place = { readonly socketPath: string } | { readonly host: string; readonly port: number };

function placeOf(admin: string): Place {
  if (admin.startsWith('unix:')) return { socketPath: admin.slice('unix:'.length) };
  const url = URL.canParse(admin) ? new URL(admin) : undefined;
  if (url?.protocol !== 'http:' || url.pathname !== '/') {
    const message = `--admin "${admin}": expected http://HOST:PORT or unix:PATH`;
    throw new CountersignError('ERR_USAGE', message);
  }
  const port = url.port === '' ? 80 : Number(url.port);
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port };
}

function answerOf(place: Place, path: string, attempted: string) {
  return new Promise<{ readonly status: number; readonly body: string }>((resolve, reject) => {
    const failed = (thrown: Error) => {
      const reason = (thrown as Error & { code?: string }).code ?? messageOf(thrown);
      const fields = { reason };
      const message = `${attempted}: ${reason}`;
      reject(new CountersignError('ERR_CLI_ADMIN', message, { fields, cause: thrown }));
    };
    const asked = request({ ...place, path, agent: false, timeout: patienceMs }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', failed);
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${patienceMs} ms`)));
    asked.on('error', failed);
    asked.end();
  });
}
