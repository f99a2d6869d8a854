import { CountersignError, messageOf } from '@countersign/base';
import {
  isCallerAtDoor,
  type PolicyTrial,
  readStateCertificates,
  tryPolicy,
} from '@countersign/ca';
import { parseSpiffeId } from '@countersign/spiffe';
import { certificateRequestFromPem, parseCertificateRequest } from '@countersign/x509';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { keyKindOfOption, keyTypeOption } from '../key-type-option.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { readAs } from '../read-certificates.ts';
import { inputName, readInput } from '../read-input.ts';
import { readCaConfig, readStateConfig } from '../state/open-state.ts';
import { tellExplanation } from '../state/tell-explanation.ts';
import type { Verb } from '../verb.ts';
import { addWishOptions, type WishOptions } from '../wish-options.ts';

interface PolicyTestOptions extends WishOptions {
  readonly config?: string;
  readonly data?: string;
  readonly spiffeId?: string;
  readonly dns?: string[];
  readonly ip?: string[];
  readonly provisioner?: string;
  readonly caller?: string;
  readonly csr?: string;
  readonly keyType?: string;
  readonly output: string;
}

/** `countersign policy test`: what a ca.yaml would answer to a request, with every reason. */
export const policyTestVerb: Verb = {
  define(command, cli) {
    addWishOptions(command, 'wished lifetime; what ca.yaml gives unless given')
      .option('--config <file>', 'ca.yaml; no authority is needed')
      .option(
        '--data <dir>',
        "an authority's data directory: its dates, and its ca.yaml without --config",
      )
      .option('--spiffe-id <id>', 'the SPIFFE ID that is asked for')
      .addOption(listOption('--dns <name>', 'a DNS name as well; may be repeated'))
      .addOption(listOption('--ip <address>', 'an IP address as well; may be repeated'))
      .option('--provisioner <name>', 'who vouched first; operator unless given')
      .addOption(
        new Option(
          '--caller <caller>',
          'operator, token, a SPIFFE ID, or who it is at a door (vault:approle/web); operator unless given',
        ).argParser(callerOf),
      )
      .option('--csr <file>', 'a request, PEM or DER: its names, key and extensions')
      .addOption(keyTypeOption('what ca.yaml says'))
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: PolicyTestOptions) => testPolicy(cli, options));
  },
};

const help = `
Exits 1 where the answer is no, and says what would have to be otherwise. Lists of blocked keys and what was issued or
revoked before are not asked: \`issue --dry-run\` asks them, too.

Example:
  countersign policy test --config ca.yaml --caller token --spiffe-id spiffe://example.com/ns/prod/sa/payments`;

async function testPolicy(cli: Cli, options: PolicyTestOptions): Promise<void> {
  const { spiffeId, dns, ip, provisioner, caller, profile, issuer, ttl } = options;
  const { config, certificates } = await whatIsTried(cli, options);
  const csr = options.csr === undefined ? undefined : await readCsr(cli, options.csr);
  const kind = keyKindOfOption(options.keyType) ?? config.services.key;
  const names = { spiffeId, dns, ip };
  const asked = { provisioner, caller, profile, issuer, ttlMs: ttl };
  const explanation = tryPolicy({
    config,
    certificates,
    csr,
    kind,
    ...names,
    ...asked,
    clock: cli.clock,
  });
  await tellExplanation(cli, explanation, options.output);
}

const plainCallers: readonly string[] = ['operator', 'token'];

function callerOf(written: string): string {
  if (plainCallers.includes(written) || isCallerAtDoor(written)) return written;
  try {
    return parseSpiffeId(written).toString();
  } catch (thrown) {
    const forms =
      'is neither "operator", "token", a SPIFFE ID nor who it is at a door ("vault:approle/web")';
    throw new CountersignError(
      'ERR_USAGE',
      `policy test: --caller "${written}" ${forms}: ${messageOf(thrown)}`,
      { hint: 'write a SPIFFE ID whole: --caller spiffe://example.com/ns/prod/sa/web' },
    );
  }
}

async function whatIsTried(
  cli: Cli,
  { config, data }: PolicyTestOptions,
): Promise<Pick<PolicyTrial, 'config' | 'certificates'>> {
  if (data !== undefined) {
    const certificates = await readStateCertificates(data);
    const options = { data, ...(config !== undefined && { config }) };
    return { config: await readStateConfig(cli, options), certificates };
  }
  if (config !== undefined) return { config: (await readCaConfig(cli, config)).config };
  throw new CountersignError('ERR_USAGE', 'policy test: --config or --data is missing');
}

async function readCsr(cli: Cli, file: string): Promise<Uint8Array> {
  const bytes = await readInput(cli, file, 'read certificate request');
  // A SEQUENCE of DER begins with this octet, no text does.
  const read = bytes[0] === 0x30 ? parseCertificateRequest : certificateRequestFromPem;
  return readAs(`policy test: read ${inputName(file)}`, () => read(bytes).raw);
}
