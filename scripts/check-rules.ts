// The rules of the house that no general linter knows: each a row with the pattern, where it may stand, and why.
import { lineOf, readWorkspaceFile, report, workspaceFiles } from './workspace.ts';

interface Rule {
  readonly pattern: RegExp;
  readonly mayStandIn: RegExp;
  readonly why: string;
  /** Whether tests are held to it too. */
  readonly inTests?: boolean;
  /** Whether comments are held to it too. */
  readonly inComments?: boolean;
}

/**
 * The stand-in for Pebble, which is for tests alone, presents the certificate of its file; answers to tls-alpn-01 let nobody in.
 */
const tlsServers =
  /^packages\/mtls\/src\/(?:listener|acme-alpn-server)\.ts$|^apps\/cli\/src\/pebble\/serve-https\.ts$/;

const rules: readonly Rule[] = [
  {
    pattern: /\bDate\.now\(|\bperformance\.now\(|new Date\(\)/g,
    mayStandIn: /^packages\/base\/src\/clock\.ts$|^apps\/|\/bench\//,
    why: 'time comes in by parameter (base Clock)',
  },
  {
    pattern:
      /\bprocess\.(env|exit|argv)\b|import \{[^}]*\b(?:env|exit|argv)\b[^}]*\} from 'node:process'/g,
    mayStandIn: /^apps\/|\/bench\//,
    why: 'the environment belongs to the wiring in apps',
  },
  {
    pattern:
      /\b(?:tls|https|http2)\.(?:createServer|createSecureServer|Server)\b|\bcreateSecureServer\(|new TLSSocket\([^)]*isServer/g,
    mayStandIn: tlsServers,
    why: "only mtls's listener constructs TLS servers",
  },
  {
    pattern:
      /\bimport\s*\{[^}]*(?<!type )\b(?:createServer|createSecureServer|Server)\b[^}]*\}\s*from 'node:(?:tls|https|http2)'/g,
    mayStandIn: tlsServers,
    why: "only mtls's listener constructs TLS servers",
  },
  {
    pattern:
      /\bimport\s+(?!type\b)(?:\{(?!(?:\s*type \w+,?)+\s*\})[^}]*\}|\w+|\* as \w+)[^;]*from 'node:http'/g,
    mayStandIn: /^apps\/|^packages\/agent\/src\/federation\//,
    why: 'nodeHttp of base does not load a second HTTP client beside it',
  },
  {
    pattern: /\bMath\.random\(/g,
    mayStandIn: /\/bench\//,
    why: 'randomness comes from node:crypto or in by parameter',
  },
  {
    pattern: /^export \* from/gm,
    mayStandIn: /^$/,
    why: 'a barrel names what it gives',
    inTests: true,
  },
  {
    pattern: /\b(?:test|it|describe)\.only\(|\bonly: true/g,
    mayStandIn: /^$/,
    why: 'a forgotten .only hides every other test',
    inTests: true,
  },
  {
    pattern: /\b(?:test|it|describe)\.(?:skip|todo)\(|\b(?:skip|todo): true/g,
    mayStandIn: /^$/,
    why: 'a skip carries its reason as a string',
    inTests: true,
  },
  {
    pattern: /\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b/g,
    mayStandIn: /^$/,
    why: 'what is not done is an issue or is named in the documents',
    inTests: true,
    inComments: true,
  },
];

const findings: string[] = [];
const files = workspaceFiles(
  'packages/*/src/**/*.ts',
  'packages/*/test/**/*.ts',
  'apps/*/src/**/*.ts',
  'apps/*/test/**/*.ts',
);
for (const file of files) {
  const text = readWorkspaceFile(file);
  const isTest = /\.(test|suite)\.ts$|\/test\/|^packages\/testkit\//.test(file);
  for (const rule of rules) {
    if ((isTest && !rule.inTests) || rule.mayStandIn.test(file)) continue;
    for (const match of text.matchAll(rule.pattern)) {
      if (rule.inComments !== true && isComment(text, match.index)) continue;
      findings.push(`${file}:${lineOf(text, match.index)}: "${match[0]}": ${rule.why}`);
    }
  }
}
report('rules', findings, `${rules.length} rules hold in ${files.length} files`);

function isComment(text: string, offset: number): boolean {
  const line = text.slice(text.lastIndexOf('\n', offset) + 1, offset).trimStart();
  return line.startsWith('//') || line.startsWith('*') || line.startsWith('/*');
}
