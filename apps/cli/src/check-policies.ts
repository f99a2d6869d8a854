import {
  defaultMesh,
  type IstioPolicies,
  joinPolicies,
  type MeshSettings,
  type PolicyWarning,
  parseMeshSettings,
  parseWorkloads,
  policyKinds,
  readIstioPolicies,
  type TableWorkload,
  warnAboutPolicies,
} from '@countersign/authz';
import { CountersignError, codeTable, nearestWord } from '@countersign/base';
import { configIssue, parseYamlDocuments, type SourceDocument } from '@countersign/config';
import {
  compileIstio,
  emptyModel,
  isRoutingDocument,
  readIstioDocuments,
} from '@countersign/gateway';
import { readText } from './authz-options.ts';
import type { Finding } from './check-finding.ts';
import { findingsOf } from './check-finding.ts';
import type { Cli } from './cli.ts';

/** What the operator says of the mesh that policies are for. */
export interface PolicySurroundings {
  readonly mesh?: string;
  readonly workloads?: string;
}

/** What is wrong with the documents of a file, and what may be. */
export interface PoliciesChecked {
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
}

const limits = { maxBytes: 32 * 1024 * 1024, maxDocuments: 20_000, maxAliasCount: 10_000 };

/**
 * Reads every document of a file of policies, lists what is wrong with any, and warns of what those that can be read do
 * not mean.
 *
 * @throws ConfigError ERR_CONFIG_SYNTAX; of the surroundings any
 */
export async function checkPolicies(
  cli: Cli,
  text: string,
  file: string,
  around: PolicySurroundings,
): Promise<PoliciesChecked> {
  const mesh = await readMesh(cli, around.mesh);
  const workloads = await readWorkloads(cli, around.workloads);
  const findings: Finding[] = [];
  const read: IstioPolicies[] = [];
  const documents = parseYamlDocuments(text, file, limits);
  const routing = checkRouting(documents, file);
  findings.push(...routing.findings);
  for (const document of documents.filter((each) => !isOfRoutingAlone(each))) {
    try {
      read.push(readIstioPolicies([knownKind(document)]));
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      findings.push(...findingsOf(thrown, file));
    }
  }
  try {
    const warnings = warnAboutPolicies(joinPolicies(read), mesh, workloads);
    const ofWeight = (weight: PolicyWarning['weight']) =>
      warnings.filter((warning) => warning.weight === weight);
    findings.push(...ofWeight('finding').map(findingOf));
    const notes = ofWeight('note').map(
      ({ position, message }) => `${position.line}:${position.column}: ${message}`,
    );
    return { findings, notes: [...notes, ...routing.notes] };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return { findings: [...findings, ...findingsOf(thrown, file)], notes: [] };
  }
}

/** A Gateway is of interest to policies as well. */
function isOfRoutingAlone(document: SourceDocument): boolean {
  return isRoutingDocument(document) && Object(document.value).kind !== 'Gateway';
}

/** Where there are documents that only routing goes by, all that it goes by is read, each and then together. */
function checkRouting(documents: readonly SourceDocument[], file: string): PoliciesChecked {
  const routing = documents.filter(isRoutingDocument);
  if (!routing.some(isOfRoutingAlone)) return { findings: [], notes: [] };
  const findings: Finding[] = [];
  for (const document of routing) {
    try {
      readIstioDocuments([document]);
    } catch (thrown) {
      if (!(thrown instanceof CountersignError)) throw thrown;
      findings.push(...findingsOf(thrown, file));
    }
  }
  if (findings.length > 0) return { findings, notes: [] };
  try {
    return { findings, notes: compileIstio(routing, { base: emptyModel() }).notes };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return { findings: findingsOf(thrown, file), notes: [] };
  }
}

/** @throws ConfigError for a kind that is no policy, naming the nearest */
function knownKind(document: SourceDocument): SourceDocument {
  const { value } = document;
  const kind =
    typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  const known: readonly unknown[] = policyKinds;
  if (kind === undefined || known.includes(kind)) return document;
  const nearest = nearestWord(String(kind), policyKinds);
  const hint =
    nearest === undefined ? `known are ${policyKinds.join(', ')}` : `the nearest is "${nearest}"`;
  const message = `kind ${JSON.stringify(kind)} is no policy that is known, ${hint}`;
  throw configIssue(document, ['kind'], 'ERR_CONFIG_UNSUPPORTED', message);
}

function findingOf({ code, message, file, position, example }: PolicyWarning): Finding {
  const { line, column } = position;
  return {
    ...{ file, code, message, hint: codeTable[code].hint, line, column, path: null },
    ...(example !== undefined && { example: exampleOf(example) }),
  };
}

/** As a row of a table has it, so that it can be pasted into one. */
function exampleOf({ workload, request, got }: NonNullable<PolicyWarning['example']>): unknown {
  const headers: Record<string, string> = {};
  for (let i = 0; i < request.headers.length; i += 2) {
    headers[request.headers[i] ?? ''] = request.headers[i + 1] ?? '';
  }
  const hasHeaders = request.headers.length > 0;
  return {
    workload: { ...workload, ports: Object.fromEntries(workload.ports) },
    request: { ...request, headers: hasHeaders ? headers : undefined },
    got,
  };
}

async function readMesh(cli: Cli, file: string | undefined): Promise<MeshSettings> {
  if (file === undefined) return defaultMesh;
  return parseMeshSettings(await readText(cli, file, 'check'), file);
}

async function readWorkloads(
  cli: Cli,
  file: string | undefined,
): Promise<readonly TableWorkload[] | undefined> {
  if (file === undefined) return undefined;
  return parseWorkloads(await readText(cli, file, 'check'), file);
}
