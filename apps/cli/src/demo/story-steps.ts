import { readFile } from 'node:fs/promises';
import { CountersignError } from '@countersign/base';
import { adminClient } from '@countersign/ca';
import { revealJoinToken } from '@countersign/wire';
import { parseCertificate } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { presentedChain, tlsAddressOf } from '../presented-chain.ts';
import type { Children, Service, Workload } from './children.ts';
import { words } from './command-words.ts';
import type { DemoDirectory } from './demo-directory.ts';
import { dnsNameOf, logFile, spiffeIdOf, type WorkloadName } from './demo-files.ts';
import type { RenewValue, StartedValue, StreamValue } from './workload-messages.ts';

/** What the steps share once the authority serves. */
export interface Cast {
  readonly directory: DemoDirectory;
  readonly children: Children;
  /** The authority's data directory. */
  readonly state: string;
  readonly authorityUrl: string;
}

const patienceMs = 5000;

/** Has a workload enrol; resolves with where it serves, empty for a mere caller. */
export async function startWorkload(
  cast: Cast,
  name: WorkloadName,
  workload: Workload,
  options: { readonly serves: boolean },
): Promise<string> {
  const { url } = await workload.ask<StartedValue>({
    do: 'start',
    name,
    authorityUrl: cast.authorityUrl,
    token: await createToken(cast, name),
    directory: cast.directory.file(name),
    admits: spiffeIdOf('gateway'),
    serves: options.serves,
  });
  return url ?? '';
}

/** The gateway enrols as an operator would have it: with the command. */
export async function enrolGateway(cast: Cast, rootFingerprint: string): Promise<void> {
  const token = await createToken(cast, 'gateway', ['127.0.0.1']);
  const out = cast.directory.file('gateway');
  await cast.children.run(
    'enrol-gateway',
    words`enrol --ca ${cast.authorityUrl} --fingerprint ${rootFingerprint} --token ${token} --out ${out}`,
  );
}

/** A new certificate on disk, then SIGHUP; done when the gateway presents it. */
export async function renewGateway(cli: Cli, cast: Cast, gateway: Service): Promise<RenewValue> {
  const url = gateway.urls[0] ?? '';
  const before = await presentedSerial(url);
  const own = cast.directory.file('gateway');
  await cast.children.run(
    'renew-gateway',
    words`renew --ca ${cast.authorityUrl} --identity ${own}`,
  );
  gateway.reload();
  const after = await until(cli, 'the gateway presents its new certificate', async () => {
    const serial = await presentedSerial(url);
    return serial === before ? undefined : serial;
  });
  return { before, after };
}

/** How the stream of a revoked workload ended. */
export async function streamEnd(cli: Cli, workload: Workload): Promise<StreamValue> {
  return until(cli, 'the open stream is cut', async () => {
    const state = await workload.ask<StreamValue>({ do: 'stream-state' });
    return state.open ? undefined : state;
  });
}

/**
 * The stranger was told a code and an opaque id alone; the operator finds the rest in the gateway's log.
 *
 * @param body the problem document that the stranger got
 */
export async function reasonInLog(
  cli: Cli,
  directory: DemoDirectory,
  body: string,
): Promise<string> {
  const { id, code } = JSON.parse(body) as { id: string; code: string };
  // The line is on its way through a pipe when the answer arrives.
  const line = await until(cli, `the gateway's log tells of the denial "${id}"`, async () => {
    const lines = (await readFile(logFile(directory, 'gateway'), 'utf8')).split('\n');
    return lines.slice(0, -1).find((text) => text.includes(id));
  });
  const { policy, differs, msg } = JSON.parse(line) as DenialLine;
  const [first] = differs ?? [];
  if (first === undefined) return `${code}: ${msg}`;
  const { expected, found } = first;
  return `${code}: ${policy} names ${expected.join(' and ')}, not ${found.join(', ')}`;
}

interface DenialLine {
  readonly policy?: string;
  readonly differs?: readonly { readonly expected: string[]; readonly found: string[] }[];
  readonly msg: string;
}

/** What `countersign token create` does, without a process for each. */
async function createToken(cast: Cast, name: WorkloadName, ip: readonly string[] = []) {
  const operator = await adminClient(cast.state);
  if (operator === undefined) throw failed('the authority does not answer on its admin socket');
  const names = { spiffeId: spiffeIdOf(name), dns: [dnsNameOf(name)], ip };
  return revealJoinToken((await operator.createToken(names)).token);
}

async function presentedSerial(url: string): Promise<string> {
  const address = tlsAddressOf(url);
  if (address === undefined) return '';
  const [leaf] = await presentedChain(address, 'demo');
  return leaf === undefined ? '' : parseCertificate(leaf).serialHex;
}

async function until<T>(cli: Cli, what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = cli.clock.monotonic() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (cli.clock.monotonic() > deadline) {
      throw failed(`waited ${patienceMs / 1000} s until ${what}, in vain`);
    }
    await cli.clock.sleep(20);
  }
}

function failed(reason: string): CountersignError {
  return new CountersignError('ERR_CLI_DEMO_STEP', `demo: ${reason}`);
}
