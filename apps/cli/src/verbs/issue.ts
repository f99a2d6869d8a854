import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { CountersignError, type Denial, errorOfDenial } from '@countersign/base';
import type { Authority, CaConfig } from '@countersign/ca';
import {
  defaultKeyKind,
  keepIssued,
  makeOwnRequest,
  prepareIdentityDirectory,
  proveIssued,
  proveNamedCertificate,
  proveSameHolder,
  writeIdentity,
  writeNamedCertificate,
} from '@countersign/identity';
import type { AdminIssueRequest, IssueResponse } from '@countersign/wire';
import type { KeyKind } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { type BatchOptions, issueBatch } from '../issue/issue-batch.ts';
import type { RightOptions } from '../issue/order-together.ts';
import { keyKindOfOption, keyTypeOption } from '../key-type-option.ts';
import { listOption } from '../list-option.ts';
import { proofForOperator } from '../log/operator-proof.ts';
import { type ProofOptions, proofOption, writeProof } from '../log/write-proof.ts';
import { outputOption } from '../output-option.ts';
import { readCertificates } from '../read-certificates.ts';
import { asOperator, readStateConfig } from '../state/open-state.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';
import { tellExplanation } from '../state/tell-explanation.ts';
import { tellIdentity } from '../state/tell-identity.ts';
import type { Verb } from '../verb.ts';
import { addWishOptions, type WishOptions, wishesOf } from '../wish-options.ts';

interface IssueOptions extends RightOptions, WishOptions, ProofOptions {
  readonly spiffeId?: string;
  readonly dns?: string[];
  readonly ip?: string[];
  readonly batch?: string;
  readonly keyType?: string;
  readonly out?: string;
  readonly dryRun?: boolean;
  readonly replace?: boolean;
  readonly output: string;
}

/** `countersign issue`: key and certificate by order of whoever holds the state, or of a registrar. */
export const issueVerb: Verb = {
  define(command, cli) {
    const stated = addSealOptions(
      command
        .option('--data <dir>', "the authority's data directory, for whoever holds it")
        .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
        .option('--ca <url>', 'the authority, for registrars of its ca.yaml')
        .option('--identity <dir>', 'with --ca: the identity to show'),
    );
    addWishOptions(stated, 'lifetime; validity of ca.yaml unless given')
      .option('--spiffe-id <id>', 'the SPIFFE ID; needed unless ca.yaml says require_spiffe: false')
      .addOption(listOption('--dns <name>', 'a DNS name as well; may be repeated'))
      .addOption(listOption('--ip <address>', 'an IP address as well; may be repeated'))
      .option('--batch <file>', 'many at once: a JSON object a line, - for standard input')
      .addOption(keyTypeOption('what ca.yaml says'))
      .addOption(proofOption())
      .option('--out <dir>', 'where to write key.pem, cert.pem, chain.pem, bundle.pem')
      .option('--replace', 'write over an identity of another SPIFFE ID')
      .option('--dry-run', 'say whether it would be issued and why, without --out; exits 1 for no')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: IssueOptions) => run(cli, options));
  },
};

const help = `
A line of a batch is {"name": "payments-1", "spiffeId": "spiffe://…", "dns": ["…"], "ip": ["…"], "ttl": "1h",
"profile": "…", "issuer": "…"}; its files go to --out/NAME. Exits 1 when any was refused; the others are issued.

An identity that is in its place already is replaced in one step where it has the same SPIFFE ID, another one only with
--replace.

Example:
  countersign issue --data state --batch orders.jsonl --out identities
  countersign issue --ca https://127.0.0.1:8440 --identity agent --batch orders.jsonl --out identities
  countersign issue --data state --spiffe-id spiffe://example.com/ns/prod/sa/payments --ttl 1h --out payments
  countersign issue --data state --dns payments.prod.internal --out payments`;

type StatedOptions = IssueOptions & StateOptions;
type WritingOptions = StatedOptions & { readonly out: string };

async function run(cli: Cli, options: IssueOptions): Promise<void> {
  const { out, data, batch, dryRun = false } = options;
  if (dryRun && out !== undefined) throw usage('--dry-run writes nothing, --out is given');
  if (dryRun && options.replace === true)
    throw usage('--dry-run writes nothing, --replace is given');
  if (!dryRun && out === undefined) throw usage('--out is missing');
  if (batch !== undefined && out !== undefined) return many(cli, { ...options, batch, out });
  if (batch !== undefined) throw usage('--dry-run tries out one order, --batch is given');
  if (options.ca !== undefined || options.identity !== undefined) {
    throw usage('--ca and --identity are for --batch');
  }
  if (data === undefined) throw usage('--data is missing');
  if (out === undefined) return tryOut(cli, { ...options, data });
  return issue(cli, { ...options, data, out });
}

async function many(cli: Cli, options: IssueOptions & BatchOptions): Promise<void> {
  const single = (['spiffeId', 'dns', 'ip', 'logProof'] as const).find(
    (name) => options[name] !== undefined,
  );
  if (single !== undefined) throw usage('names and --log-proof are of one order, --batch is given');
  const { data } = options;
  const asked = keyKindOfOption(options.keyType);
  const config = data === undefined ? undefined : await readStateConfig(cli, { ...options, data });
  await issueBatch(cli, options, asked ?? config?.services.key ?? defaultKeyKind);
}

function usage(wrong: string): CountersignError {
  return new CountersignError('ERR_USAGE', `issue: ${wrong}`);
}

/** The same judgements as {@link issue} makes, with every reason; nothing is ordered. */
async function tryOut(cli: Cli, options: StatedOptions): Promise<void> {
  const config = await readStateConfig(cli, options);
  const { csr } = await makeOwnRequest(keyKindOf(options, config));
  const request = requestOf(options, csr);
  const explanation = await asOperator(cli, options, {
    server: (client) => client.explain(request),
    state: (authority) => authority.explain(request),
  });
  await tellExplanation(cli, explanation, options.output);
}

async function issue(cli: Cli, options: WritingOptions): Promise<void> {
  // 1. a place for the files and a key, before anything is ordered; a refusal leaves the place as it was
  const config = await readStateConfig(cli, options);
  if (options.replace !== true) await proveSameHolder(options.out, options.spiffeId);
  const place = await prepareIdentityDirectory(options.out);
  try {
    const { privateKey, csr } = await makeOwnRequest(keyKindOf(options, config));
    // 2. the certificate, from the server or from the state itself
    const response = await order(cli, options, csr);
    // 3. proved as everybody's, then on disk in one step
    const written = await proveAndWrite(cli, options, { response, privateKey });
    await tellIdentity(cli, written, options.out, options.output);
  } catch (thrown) {
    await place.giveUp();
    throw thrown;
  }
  // 4. where it is wished, the proof that everybody can see it was issued
  if (options.logProof !== true) return;
  const [issued] = await readCertificates(cli, join(options.out, 'cert.pem'), 'issue');
  if (issued === undefined) return;
  const proof = await proofForOperator(cli, options, issued.serialHex);
  await writeProof(options.out, issued.raw, proof);
}

function requestOf(options: IssueOptions, csr: Uint8Array): AdminIssueRequest {
  const { spiffeId, dns = [], ip = [] } = options;
  return {
    ...{ csr, dns, ip },
    ...(spiffeId !== undefined && { spiffeId }),
    ...wishesOf(options),
  };
}

function order(cli: Cli, options: StatedOptions, csr: Uint8Array): Promise<IssueResponse> {
  const request = requestOf(options, csr);
  return asOperator(cli, options, {
    server: (client) => client.issue(request),
    state: (authority) => issueHere(authority, request),
  });
}

async function proveAndWrite(
  { clock }: Cli,
  { spiffeId, out }: WritingOptions,
  issued: { readonly response: IssueResponse; readonly privateKey: KeyObject },
): Promise<Parameters<typeof tellIdentity>[1]> {
  const { serial } = issued.response;
  if (spiffeId === undefined) {
    const named = proveNamedCertificate({ ...issued, clock });
    await keepIssued(serial, 'order', () => writeNamedCertificate(out, named));
    return named.chain[0];
  }
  const identity = proveIssued({ ...issued, clock, spiffeId });
  await keepIssued(serial, 'order', () => writeIdentity(out, identity));
  return identity.svid;
}

async function issueHere(
  authority: Authority,
  order: Parameters<Authority['issue']>[0],
): Promise<IssueResponse> {
  const answer = await authority.issue(order);
  if (!answer.ok) throw errorOfDenial(answer as Denial, 'issue');
  return authority.issueResponseOf(answer);
}

function keyKindOf(options: IssueOptions, config: CaConfig): KeyKind {
  return keyKindOfOption(options.keyType) ?? config.services.key ?? defaultKeyKind;
}
