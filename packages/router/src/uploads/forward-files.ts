import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Denial, denial } from '@countersign/base';
import type { Variables } from '../execute/project-data.ts';
import type { Plan, SubgraphOperation } from '../plan/plan.ts';
import type { IncomingFiles } from './incoming-files.ts';
import { filesIn } from './uploaded-file.ts';

/** The files of an operation and the one fetch that they go to. */
export interface ForwardedFiles {
  readonly operation: SubgraphOperation;
  /** By file: its paths, in the variables. */
  readonly paths: ReadonlyMap<string, readonly string[]>;
  readonly files: IncomingFiles;
}

/** A body that is sent once, as it comes. */
export interface StreamedBody {
  readonly contentType: string;
  readonly body: Readable;
}

/**
 * Which fetch takes the files. They are streamed and not kept, so that no second one can have them.
 *
 * @returns undefined where no fetch does; denials: ERR_GRAPHQL_UPLOAD
 */
export function forwardFiles(
  plan: Plan | undefined,
  variables: Variables,
  files: IncomingFiles,
): ForwardedFiles | Denial | undefined {
  const paths = new Map<string, readonly string[]>();
  const holders = new Set<string>();
  for (const [name, value] of Object.entries(variables)) {
    for (const [file, found] of filesIn(name, value)) {
      paths.set(file, [...(paths.get(file) ?? []), ...found]);
      holders.add(name);
    }
  }
  const takers = plan === undefined ? [] : operationsOf(plan).filter(takesFiles);
  const [operation] = takers;
  if (operation === undefined) return undefined;
  if (takers.length > 1) {
    const subgraphs = [...new Set(takers.map(({ subgraph }) => subgraph))].join('", "');
    const detail = `its files would go to ${takers.length} fetches, of "${subgraphs}", and are let through to one`;
    return denial('ERR_GRAPHQL_UPLOAD', detail);
  }
  return { operation, paths, files };

  function takesFiles({ variables: used }: SubgraphOperation): boolean {
    return used.some((name) => holders.has(name));
  }
}

/** The request to the subgraph, in the form in which it came. @param json its body without files */
export function multipartBody(
  { operation, paths, files }: ForwardedFiles,
  json: string,
): StreamedBody {
  const boundary = `countersign-${randomBytes(12).toString('hex')}`;
  const map: Record<string, readonly string[]> = {};
  for (const [file, all] of paths) {
    const own = all.filter((path) => operation.variables.includes(path.split('.')[1] ?? ''));
    if (own.length > 0) map[file] = own;
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: Readable.from(write(), { objectMode: false }),
  };

  async function* write(): AsyncGenerator<string | Buffer> {
    yield field('operations', json);
    yield field('map', JSON.stringify(map));
    for await (const { name, filename, mimeType, stream } of files.take()) {
      if (map[name] === undefined) {
        stream.resume();
        continue;
      }
      const type = /^[\w.+-]+\/[\w.+-]+$/.test(mimeType) ? mimeType : 'application/octet-stream';
      const named = `name="${forHeader(name)}"; filename="${forHeader(filename)}"`;
      yield `--${boundary}\r\ncontent-disposition: form-data; ${named}\r\ncontent-type: ${type}\r\n\r\n`;
      // Left by the subgraph halfway, the rest is read away.
      try {
        for await (const chunk of stream) yield chunk as Buffer;
      } finally {
        stream.resume();
      }
      yield '\r\n';
    }
    yield `--${boundary}--\r\n`;
  }

  function field(name: string, value: string): string {
    return `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\ncontent-type: application/json\r\n\r\n${value}\r\n`;
  }
}

function operationsOf(plan: Plan): readonly SubgraphOperation[] {
  switch (plan.kind) {
    case 'sequence':
    case 'parallel':
      return plan.nodes.flatMap(operationsOf);
    case 'condition':
      return [plan.whenTrue, plan.whenFalse].flatMap((each) => (each ? operationsOf(each) : []));
    case 'flatten':
      return [plan.fetch];
    case 'subscription':
      return [plan.primary];
    default:
      return [plan];
  }
}

/** HTML §4.10.21.8: quotes and line ends of names and file names are percent-encoded. */
function forHeader(text: string): string {
  return text.slice(0, 1000).replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}
