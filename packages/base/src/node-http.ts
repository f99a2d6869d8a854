import process from 'node:process';

/**
 * Node's HTTP, without what an import of it loads beside it: ES modules read every export at once, and among those of
 * `node:http` are WebSocket's, which load a whole second HTTP client (40 ms of CPU and 16 MB in a bare process).
 */
export function nodeHttp(): typeof import('node:http') {
  return process.getBuiltinModule('node:http');
}
