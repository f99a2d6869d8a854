import type { IncomingMessage } from 'node:http';
import { denial } from '@countersign/base';
import type { RouterLimits } from '../config/router-config.ts';
import { judgeNesting } from '../http/json-nesting.ts';
import {
  type OperationParameters,
  type ReadRequest,
  type RefusedRequest,
  readParameters,
} from '../http/read-request.ts';
import { IncomingFiles, malformed, openParser, type UploadLimits } from './incoming-files.ts';
import { UploadedFile } from './uploaded-file.ts';

/** A path of `map` has so many steps at most, and one file so many paths. */
const maxSteps = 20;
const maxPaths = 20;

/**
 * Reads a request with files (GraphQL multipart request specification): `operations`, then `map`, then the files. It is
 * read as far as `map`; the files come as they are taken.
 */
export function readMultipart(
  request: IncomingMessage,
  limits: RouterLimits,
  uploads: UploadLimits,
): Promise<ReadRequest | RefusedRequest> {
  const parser = openParser(request, uploads, limits.max_body_bytes);
  if (parser === undefined) return Promise.resolve(malformed('multipart without a boundary'));
  return new Promise((resolve) => {
    let operations: OperationParameters | undefined;
    let files: IncomingFiles | undefined;
    const fail = (refusal: RefusedRequest) => {
      files?.fail(refusal);
      resolve(refusal);
    };
    parser.on('field', (name, value, _nameTruncated, isTruncated) => {
      if (isTruncated) return fail(tooLong(name, limits.max_body_bytes));
      if (operations === undefined) {
        const read =
          name === 'operations' ? readOperations(value, limits) : misplaced(name, 'operations');
        if ('ok' in read) return fail(read);
        operations = read;
        return;
      }
      if (files !== undefined) return fail(misplaced(name, 'files'));
      const names =
        name === 'map' ? placeFiles(value, operations, uploads) : misplaced(name, 'map');
      if ('ok' in names) return fail(names);
      files = new IncomingFiles(request, names, uploads);
      resolve({ ok: true, isBatch: false, operations: [operations], files });
    });
    parser.on('file', (name, stream, filename, _encoding, mimeType) => {
      if (files === undefined) {
        stream.resume();
        fail(malformed(`file "${name.slice(0, 64)}" before "map"`));
      } else files.arrive(name, stream, filename, mimeType);
    });
    const tooMany = () => fail(malformed('more parts than "operations", "map" and its files'));
    for (const event of ['partsLimit', 'filesLimit', 'fieldsLimit'] as const) {
      parser.on(event, tooMany);
    }
    parser.on('error', () => fail(malformed('the multipart body is broken')));
    parser.once('finish', () => {
      files?.finish();
      resolve(malformed('"operations" or "map" is missing'));
    });
    const brokeOff = () => fail(malformed('the body broke off'));
    request.once('aborted', brokeOff);
    request.once('error', brokeOff);
    request.pipe(parser);
  });
}

function readOperations(text: string, limits: RouterLimits): OperationParameters | RefusedRequest {
  const deep = judgeNesting(text, limits.max_json_depth);
  if (deep !== undefined) return { ...deep, status: 400 };
  const json = parseJson(text);
  if (json === undefined) return malformed('"operations" is no JSON');
  if (Array.isArray(json)) return malformed('a batch, files come with a single operation');
  return readParameters(json);
}

/** Puts each file where its paths say there is a null. @returns the names of the files, in order */
function placeFiles(
  text: string,
  { variables }: OperationParameters,
  { max_files: most }: UploadLimits,
): readonly string[] | RefusedRequest {
  // A map of lists, and nothing deeper.
  const json = judgeNesting(text, 2) === undefined ? parseJson(text) : undefined;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return malformed('"map" is no map of names to paths');
  }
  const entries = Object.entries(json);
  if (entries.length > most) {
    const sides = `${entries.length} files, at most ${most} are let through`;
    return { ...denial('ERR_GRAPHQL_LIMIT', sides, { most }), status: 400 };
  }
  for (const [name, paths] of entries) {
    const file = new UploadedFile(name);
    if (!Array.isArray(paths) || paths.length === 0 || paths.length > maxPaths) {
      return malformed(`"map" has no list of 1 to ${maxPaths} paths for "${name.slice(0, 64)}"`);
    }
    for (const path of paths) {
      if (place(String(path), { variables }, file)) continue;
      return malformed(`path "${String(path).slice(0, 100)}" of "map" leads to no null`);
    }
  }
  return entries.map(([name]) => name);
}

function place(path: string, root: object, file: UploadedFile): boolean {
  const steps = path.split('.', maxSteps + 1);
  const last = steps.pop();
  if (steps.length === 0 || steps.length >= maxSteps || last === undefined) return false;
  let at: unknown = root;
  for (const step of steps) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return false;
    at = (at as Record<string, unknown>)[step];
  }
  if (typeof at !== 'object' || at === null || !Object.hasOwn(at, last)) return false;
  const holder = at as Record<string, unknown>;
  if (holder[last] !== null) return false;
  holder[last] = file;
  return true;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function misplaced(name: string, expected: string): RefusedRequest {
  return malformed(`field "${name.slice(0, 64)}" where ${expected} is expected`);
}

function tooLong(name: string, most: number): RefusedRequest {
  const detail = `"${name.slice(0, 64)}" of more than ${most} bytes`;
  return { ...denial('ERR_GRAPHQL_LIMIT', detail, { most }), status: 413 };
}
