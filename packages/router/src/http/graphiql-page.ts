import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { landingPage, landingPagePolicy } from './landing-page.ts';

/** A file that is served as it is. */
export interface PageFile {
  readonly type: string;
  readonly policy: string;
  readonly body: Buffer;
}

/** What browsers are shown, and the files that it loads, by path. */
export interface BrowserPages {
  readonly page: PageFile;
  readonly files: ReadonlyMap<string, PageFile>;
  readonly isGraphiql: boolean;
}

/** Below this the page's files are. */
export const pageRoot = '/.graphiql/';

/** Prebuilt files of the packages, whole in themselves: React's are of version 18, the last that has them. */
const packaged = [
  ['react.js', 'react', 'umd/react.production.min.js', 'text/javascript'],
  ['react-dom.js', 'react-dom', 'umd/react-dom.production.min.js', 'text/javascript'],
  ['graphiql.js', 'graphiql', 'graphiql.min.js', 'text/javascript'],
  ['graphiql.css', 'graphiql', 'graphiql.min.css', 'text/css'],
] as const;

const boot = `ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({
      url: location.pathname,
      headers: { accept: 'application/json, multipart/mixed; deferSpec=20220824' },
    }),
  }),
);
`;

const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Countersign router</title>
<link rel="stylesheet" href="${pageRoot}graphiql.css"><link rel="stylesheet" href="${pageRoot}page.css">
<div id="graphiql">Loading…</div>
<script src="${pageRoot}react.js"></script><script src="${pageRoot}react-dom.js"></script>
<script src="${pageRoot}graphiql.js"></script><script src="${pageRoot}boot.js"></script></html>
`;

const css = 'body { margin: 0; } #graphiql { height: 100vh; }\n';

/** Only files of this server run, and only it is talked to; GraphiQL and its editor write styles of their own. */
const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "font-src 'self' data:",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * GraphiQL where its package is installed beside React's, which are large and not brought along; else a page that is
 * whole in itself.
 *
 * @param from module that the packages are looked for from
 */
export async function browserPages(from: string = import.meta.url): Promise<BrowserPages> {
  const files = new Map<string, PageFile>();
  try {
    const { resolve } = createRequire(from);
    for (const [name, owner, file, type] of packaged) {
      const path = join(dirname(resolve(`${owner}/package.json`)), file);
      files.set(`${pageRoot}${name}`, fileOf(type, await readFile(path)));
    }
  } catch {
    const page = { ...fileOf('text/html', Buffer.from(landingPage)), policy: landingPagePolicy };
    return { page, files: new Map(), isGraphiql: false };
  }
  files.set(`${pageRoot}boot.js`, fileOf('text/javascript', Buffer.from(boot)));
  files.set(`${pageRoot}page.css`, fileOf('text/css', Buffer.from(css)));
  return { page: fileOf('text/html', Buffer.from(html)), files, isGraphiql: true };
}

function fileOf(type: string, body: Buffer): PageFile {
  return { type: `${type}; charset=utf-8`, policy, body };
}
