import { readFile } from 'node:fs/promises';
import { CountersignError } from '@countersign/base';
import { parseCertificate } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { presentedChain, tlsAddressOf } from '../presented-chain.ts';
import type { Children, Service, Workload } from './children.ts';
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

/** Starts a workload's process and has it enrol; `url` is where it serves, empty for a mere caller. */
export async function startWorkload(
  cast: Cast,
  name: WorkloadName,
  options: { readonly serves: boolean },
): Promise<Workload & { readonly url: string }> {
  const workload = cast.children.workload(name);
  const token = await createToken(cast, name);
  const { url } = await workload.ask<StartedValue>({
    do: 'start',
    name,
    authorityUrl: cast.authorityUrl,
    token,
    directory: cast.directory.file(name),
    admits: spiffeIdOf('gateway'),
    serves: options.serves,
  });
  return { ...workload, url: url ?? '' };
}

/** The gateway enrols as an operator would have it: with the command. */
export async function enrolGateway(cast: Cast, rootFingerprint: string): Promise<void> {
  const token = await createToken(cast, 'gateway', ['--ip', '127.0.0.1']);
  await cast.children.run('enrol-gateway', [
    'enrol',
    ...['--ca', cast.authorityUrl, '--fingerprint', rootFingerprint],
    ...['--token', token, '--out', cast.directory.file('gateway')],
  ]);
}

/** A new certificate on disk, then SIGHUP; done when the gateway presents it. */
export async function renewGateway(cli: Cli, cast: Cast, gateway: Service): Promise<RenewValue> {
  const url = gateway.urls[0] ?? '';
  const before = await presentedSerial(url);
  await cast.children.run('renew-gateway', [
    'renew',
    ...['--ca', cast.authorityUrl, '--identity', cast.directory.file('gateway')],
  ]);
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
 * The stranger was told an opaque id alone; the operator finds what it stands for in the gateway's log.
 *
 * @param body the problem document that the stranger got
 */
export async function reasonInLog(directory: DemoDirectory, body: string): Promise<string> {
  const { id, code } = JSON.parse(body) as { id?: string; code?: string };
  const lines = (await readFile(logFile(directory, 'gateway'), 'utf8')).split('\n');
  const line = lines.find((text) => id !== undefined && text.includes(id));
  if (line === undefined) {
    throw new CountersignError(
      'ERR_CLI_DEMO_STEP',
      `demo: the gateway's log says nothing of the denial with id "${id}"`,
    );
  }
  const { detail, msg } = JSON.parse(line) as { detail?: string; msg: string };
  return `${detail ?? msg} (${code})`;
}

async function createToken(
  cast: Cast,
  name: WorkloadName,
  more: readonly string[] = [],
): Promise<string> {
  const token = await cast.children.run(`token-${name}`, [
    ...['token', 'create', '--data', cast.state],
    ...['--spiffe-id', spiffeIdOf(name), '--dns', dnsNameOf(name)],
    ...more,
  ]);
  return token.trim();
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
      throw new CountersignError(
        'ERR_CLI_DEMO_STEP',
        `demo: waited ${patienceMs / 1000} s until ${what}, in vain`,
      );
    }
    await cli.clock.sleep(20);
  }
}
