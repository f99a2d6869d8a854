import { isIP } from 'node:net';
import { CountersignError } from '@countersign/base';
import {
  type Certificate,
  type Crl,
  type ExpectedName,
  formatGeneralName,
  formatName,
  type PathRequest,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { presentedChain, type TlsAddress, tlsAddressOf } from '../presented-chain.ts';
import { printable } from '../printable.ts';
import { readCertificates, readCrls, readJudged } from '../read-certificates.ts';
import { inputName } from '../read-input.ts';
import { validityAt } from '../relative-time.ts';
import { failureOfDenial, reportFailure } from '../report-error.ts';
import { formatRfc3339, parseRfc3339 } from '../rfc3339.ts';
import { ExitWith, type Verb } from '../verb.ts';
import { parseExpectedName } from '../verify/expected-name.ts';
import { type PolicyOptions, policyInputsOf, policyOptions } from '../verify/policy-options.ts';
import { verifyBatch } from '../verify/verify-batch.ts';

interface VerifyOptions extends PolicyOptions {
  readonly bundle?: string[];
  readonly at?: string;
  readonly purpose?: 'server' | 'client';
  readonly name?: string[];
  readonly untrusted?: string[];
  readonly crl?: string[];
  readonly maxDepth?: number;
  readonly batch?: true;
  readonly output: 'text' | 'json';
}

/** `countersign verify`: one chain against trust anchors, or with `--batch` a request a line. */
export const verifyVerb: Verb = {
  define(command, cli) {
    command
      .argument('[chain]', 'PEM (leaf first) or DER file, "-", or an https:// address')
      .addOption(
        listOption('--bundle <file>', 'trust anchors: PEM, DER or a SPIFFE bundle document'),
      )
      .option('--at <time>', 'judge at this RFC 3339 time; without it, now')
      .addOption(
        new Option(
          '--purpose <purpose>',
          'required extended key usage; server for an https:// address, otherwise not checked',
        ).choices(['server', 'client']),
      )
      .addOption(
        listOption(
          '--name <name>',
          'dns:…, ip:…, email:… or spiffe:… that the leaf must have; every one must match. Without it, the host of an https:// address',
        ),
      )
      .addOption(
        listOption('--untrusted <file>', 'intermediates that may be used, trusted by nobody'),
      )
      .addOption(
        listOption(
          '--crl <file>',
          'revocation lists, PEM or DER; every certificate but the anchor must be covered',
        ),
      )
      .addOption(
        new Option(
          '--max-depth <n>',
          'at most so many intermediates that are not self-issued',
        ).argParser(wholeNumber),
      )
      .option('--batch', 'answer JSON requests, one a line, from standard input')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action(async (chain: string | undefined, options: VerifyOptions, self: Command) => {
        if (options.batch === true) await runBatch(cli, chain, self);
        else await verifyOne(cli, chain, options);
      });
    for (const option of policyOptions) command.addOption(option);
  },
};

const help = `
Every option that takes a file or a name may be given several times.

--batch reads {id, chain, untrusted, anchors, crls, at, purpose, names, maxDepth, policy} and writes
{id, ok, code, detail} in the same order. Lists hold PEM or base64 DER, the leaf first; names are objects
with one of dns, ip, email, spiffe; policy is {initialPolicySet, requireExplicitPolicy, inhibitPolicyMapping,
inhibitAnyPolicy} or, short, OIDs of which one is required. A field that is absent, null or an empty list means
no such check, an absent "at" means now. Where crls are given, every certificate but the anchor must be covered.

Example:
  countersign verify --bundle payments/bundle.pem payments/chain.pem
  countersign verify --bundle roots.pem --name spiffe://example.com/payments https://127.0.0.1:8443
  countersign verify --batch < requests.ndjson`;

async function verifyOne(cli: Cli, source: string | undefined, options: VerifyOptions) {
  if (source === undefined) throw usage('a chain is missing: a file, "-" or an https:// address');
  if (options.bundle === undefined)
    throw usage('--bundle is missing, nothing is trusted without it');
  const attempted = `verify ${inputName(source)}`;
  // 1. the question: what is presented, who is trusted, what is asked of it
  const address = tlsAddressOf(source);
  const request = await readRequest(cli, source, address, options, attempted);
  // 2. the answer of the one path validation that everything else uses
  const result = validatePath(request);
  // 3. yes on standard output, no as a failure that names the rule
  const asked = { source, at: formatRfc3339(request.at), ...namesAsked(request) };
  if (options.output === 'json') {
    await cli.out(`${JSON.stringify(verdictFacts(result, asked), null, 2)}\n`);
    if (!result.ok) throw new ExitWith(1);
    return;
  }
  if (!result.ok) {
    const failure = failureOfDenial(result, attempted);
    reportFailure(cli, failure, false);
    throw new ExitWith(1);
  }
  await cli.out(acceptedText(cli, source, request, result.chain));
}

async function readRequest(
  cli: Cli,
  source: string,
  address: TlsAddress | undefined,
  options: VerifyOptions,
  attempted: string,
): Promise<PathRequest> {
  const at = options.at === undefined ? cli.clock.now() : parseRfc3339(options.at);
  const given = options.name?.map(parseExpectedName);
  const policies = policyInputsOf(options, usage);
  const anchors = await readEach(options.bundle, (file) => readCertificates(cli, file, attempted));
  const untrusted = await readEach(options.untrusted, (file) =>
    readCertificates(cli, file, attempted),
  );
  const crls: Crl[] = await readEach(options.crl, (file) => readCrls(cli, file, attempted));
  const [leaf, ...presented] =
    address === undefined
      ? await readJudged(cli, source, attempted)
      : (await presentedChain(address, attempted)).map((der) => parseCertificate(der));
  if (leaf === undefined) throw usage(`"${source}" holds no certificate`);
  const names = given ?? (address === undefined ? [] : [nameOfHost(address.host)]);
  const purpose = options.purpose ?? (address === undefined ? undefined : 'server');
  return {
    leaf,
    intermediates: [...presented, ...untrusted],
    anchors,
    at,
    ...(purpose !== undefined && { purpose }),
    ...(names.length > 0 && { names }),
    ...(crls.length > 0 && { crls }),
    ...(options.maxDepth !== undefined && { maxDepth: options.maxDepth }),
    ...(policies !== undefined && { policies }),
  };
}

async function runBatch(cli: Cli, chain: string | undefined, self: Command): Promise<void> {
  const others = self.options
    .filter((option) => self.getOptionValueSource(option.attributeName()) === 'cli')
    .map((option) => option.long)
    .filter((long) => long !== '--batch');
  if (chain !== undefined) others.unshift(`"${chain}"`);
  if (others.length > 0) {
    throw usage(`--batch takes everything from its lines, not ${others.join(', ')}`);
  }
  await verifyBatch(cli);
}

function verdictFacts(
  result: ReturnType<typeof validatePath>,
  asked: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  if (result.ok)
    return { ok: true, code: null, detail: null, ...asked, chain: result.chain.map(link) };
  const { message: _, exit: __, ...failure } = failureOfDenial(result, '');
  return { ok: false, ...failure, detail: result.detail, ...asked };
}

function link(certificate: Certificate): Record<string, unknown> {
  return {
    subject: titleOf(certificate),
    serial: certificate.serialHex,
    notAfter: formatRfc3339(certificate.notAfter),
  };
}

function acceptedText(
  cli: Cli,
  source: string,
  request: PathRequest,
  chain: readonly Certificate[],
): string {
  const { green, dim } = cli.outStyle;
  const ends = validityAt(request.leaf.notBefore, request.leaf.notAfter, request.at);
  const asked = [
    ...(request.purpose === undefined ? [] : [`purpose ${request.purpose}`]),
    ...(request.names ?? []).map(nameText),
    ...(request.crls === undefined ? [] : ['not revoked']),
  ];
  const also = asked.length === 0 ? '' : `, ${asked.join(', ')}`;
  const lines = chain.map((certificate, i) => {
    const role = i === chain.length - 1 ? 'trust anchor' : i === 0 ? ends : 'intermediate';
    return `  ${'  '.repeat(i)}${i === 0 ? '' : '└ '}${titleOf(certificate)} ${dim(`(${role})`)}\n`;
  });
  return `${green('ok')} ${source} at ${formatRfc3339(request.at)}${also}\n${lines.join('')}`;
}

/** A workload is known by its SPIFFE ID, others by their subject. */
function titleOf(certificate: Certificate): string {
  const { subject, subjectAltNames, basicConstraints } = certificate;
  const id = subjectAltNames.find((name) => name.kind === 'uri' && /^spiffe:/.test(name.value));
  const isCa = basicConstraints?.ca === true;
  if (id !== undefined && !isCa) return printable(formatGeneralName(id));
  const [first] = subjectAltNames;
  const text = formatName(subject);
  return printable(text !== '' || first === undefined ? text : formatGeneralName(first));
}

function namesAsked(request: PathRequest): Record<string, unknown> {
  return {
    ...(request.purpose !== undefined && { purpose: request.purpose }),
    ...(request.names !== undefined && { names: request.names }),
  };
}

function nameText(name: ExpectedName): string {
  const [entry] = Object.entries(name);
  return entry === undefined ? '' : `${entry[0]} ${entry[1]}`;
}

function nameOfHost(host: string): ExpectedName {
  return isIP(host) === 0 ? { dns: host } : { ip: host };
}

async function readEach<T>(
  files: readonly string[] | undefined,
  read: (file: string) => Promise<readonly T[]>,
): Promise<T[]> {
  const all: T[] = [];
  for (const file of files ?? []) all.push(...(await read(file)));
  return all;
}

function wholeNumber(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('it is not a whole number from 0');
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `verify: ${reason}`, {
    hint: 'run `countersign verify --help`',
  });
}
