import {
  CountersignError,
  counted,
  errorOfDenial,
  noMeter,
  proveReplaceable,
  writeFileDurably,
} from '@countersign/base';
import { adminClient, importIntoState, makeLists, publishedUrlOf } from '@countersign/ca';
import type { ImportListResponse } from '@countersign/wire';
import { encodePem, parseCrl } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { wholeNumber } from '../log/whole-number.ts';
import { outputOption } from '../output-option.ts';
import { fetchLists, type ListChoice, type NamedList } from '../publish/fetch-lists.ts';
import { crlsOf, readAs } from '../read-certificates.ts';
import { inputName, readInput } from '../read-input.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { createLog } from '../serve/pino-log.ts';
import { openState, readStateConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';
import type { Verb } from '../verb.ts';

interface CrlOptions extends Partial<StateOptions> {
  readonly ca?: string;
  readonly issuer?: string;
  readonly out?: string;
  readonly shard?: number;
  readonly complete?: boolean;
  readonly delta?: boolean;
  readonly import?: string;
  readonly output: string;
}

/** `countersign crl`: the revocation lists of an authority, as they are published or made now. */
export const crlVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .option('--data <dir>', "the authority's data directory, for whoever holds it")
        .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
        .option('--ca <url>', 'where lists are published: publish.url of ca.yaml'),
    )
      .option('--issuer <name>', 'root, or an intermediate; every issuer unless given')
      .option(
        '--shard <n>',
        'with --issuer: that part of a list in parts (publish.crl.shards)',
        wholeNumber,
      )
      .option('--complete', 'the list about all certificates of an issuer, no parts and no deltas')
      .option(
        '--delta',
        'the delta lists alone, of a server that publishes them (publish.crl.delta)',
      )
      .option('--out <file>', 'write the list there: PEM where the name ends in .pem, else DER')
      .option('--import <file>', 'with --data: publish this list, which an offline root signed')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: CrlOptions) => crl(cli, options));
  },
};

const help = `
While a server runs, lists are fetched from where it publishes them. Without one, they are made and signed now, also
where ca.yaml publishes nothing. \`countersign inspect\` says what is on a list.

Example:
  countersign crl --data state
  countersign crl --data state --issuer services --complete --out services.crl
  countersign crl --data state --issuer services --delta --out services-delta.crl
  countersign crl --data state --import root.crl
  countersign crl --ca http://127.0.0.1:8480 -o json`;

async function crl(cli: Cli, options: CrlOptions): Promise<void> {
  const { out, issuer } = options;
  if (options.import !== undefined) return importInto(cli, options, options.import);
  if (out !== undefined && issuer === undefined) {
    throw usage('--out holds one list, so --issuer is needed beside it');
  }
  if (out !== undefined) await proveReplaceable(out, `write the list to "${out}"`);
  const lists = await listsOf(cli, options);
  if (out === undefined) return await cli.out(textOf(lists, options.output));
  const [list, second] = lists;
  if (list === undefined) throw usage(`there is no list of "${issuer}"`);
  if (second !== undefined) {
    const number = counted(lists.length, 'list');
    throw usage(
      `"${issuer}" has ${number}, --out holds one: ${options.delta === true ? '--shard' : '--complete or --shard'} says which`,
    );
  }
  const content = out.endsWith('.pem') ? encodePem('X509 CRL', list.bytes) : list.bytes;
  await writeFileDurably(out, content);
  await cli.out(textOf(lists, options.output));
}

/** Takes over the list of an offline root, by the server that runs or in the state. */
async function importInto(cli: Cli, options: CrlOptions, file: string): Promise<void> {
  const { data, ca, issuer, out } = options;
  if (data === undefined || (ca ?? issuer ?? out) !== undefined) {
    throw usage('--import goes with --data, and the list itself says whose it is');
  }
  if ((options.shard ?? options.complete ?? options.delta) !== undefined)
    throw usage('--import takes a list whole');
  if ((options.passphrase ?? options.keyFile) !== undefined) {
    cli.err('note: no key is opened for a list that was signed elsewhere\n');
  }
  const bytes = await readInput(cli, file, 'read revocation list');
  const attempted = `crl: read ${inputName(file)}`;
  const [list, second] = readAs(attempted, () => crlsOf(bytes));
  if (list === undefined || second !== undefined) throw usage(`"${file}" holds not one list`);
  const imported = await imports(cli, { ...options, data }, list.raw);
  const { untold, number, nextUpdate, path, repeated } = imported;
  if (options.output === 'json') {
    await cli.out(`${JSON.stringify(imported, null, 2)}\n`);
  } else {
    const until = formatRfc3339(nextUpdate);
    await cli.out(`${imported.issuer} list ${number}: published at ${path} until ${until}\n`);
  }
  if (repeated) cli.err('note: it was imported before\n');
  for (const serial of untold) {
    const how = `countersign revoke --data ${data} --serial ${serial}`;
    cli.err(`note: "${serial}" is on it and not revoked here, so the feed tells nobody: ${how}\n`);
  }
}

async function imports(
  cli: Cli,
  state: CrlOptions & { readonly data: string },
  list: Uint8Array,
): Promise<ImportListResponse> {
  const client = await adminClient(state.data);
  if (client !== undefined) return client.importList(list);
  const imported = await importIntoState({
    list,
    data: state.data,
    config: await readStateConfig(cli, state),
    secrets: secretPlaces(cli),
    clock: cli.clock,
    log: createLog(cli, 'warn'),
  });
  if (!imported.ok) throw errorOfDenial(imported, 'import the revocation list');
  const { ok: _, number, ...rest } = imported;
  return { ...rest, number: String(number) };
}

async function listsOf(cli: Cli, options: CrlOptions): Promise<readonly NamedList[]> {
  const { data, ca, issuer } = options;
  if ((data === undefined) === (ca === undefined)) {
    throw usage('exactly one of --data and --ca says which authority');
  }
  const choice = choiceOf(options);
  if (ca !== undefined) return await fetchLists(ca, issuer, choice);
  const state = { ...options, data: data ?? '' };
  if ((await adminClient(state.data)) !== undefined) {
    const url = await publishedUrlOf(state.data);
    if (url !== undefined) return await fetchLists(url, issuer, choice);
    const message = `the authority that serves "${state.data}" publishes no lists`;
    throw new CountersignError('ERR_PUBLISH_OFF', message);
  }
  if (options.delta === true) {
    const message = `nobody serves "${state.data}", and deltas are made by a server alone`;
    throw new CountersignError('ERR_PUBLISH_OFF', message);
  }
  const log = createLog(cli, 'warn');
  const config = await readStateConfig(cli, state);
  const authority = await openState(cli, state, { log, meter: noMeter, config });
  try {
    const parts = { authority, data: state.data, clock: cli.clock, log, meter: noMeter };
    const shard = typeof choice === 'string' ? undefined : choice.shard;
    const made = await makeLists(parts, issuer, shard);
    const { publish } = authority.config;
    return made.map(({ path, ...list }) =>
      publish?.crl === undefined ? list : { ...list, url: publish.url + path },
    );
  } finally {
    await authority.close();
  }
}

function choiceOf({ shard, complete, delta, issuer }: CrlOptions): ListChoice {
  if (complete === true && delta === true) throw usage('either --complete, or --delta');
  if (complete === true && shard !== undefined) throw usage('either --complete, or --shard');
  if (shard !== undefined && issuer === undefined)
    throw usage('--shard is of one issuer, --issuer is missing');
  if (delta === true) return { shard, delta };
  if (shard !== undefined) return { shard };
  return complete === true ? 'complete' : 'each';
}

function textOf(lists: readonly NamedList[], output: string): string {
  const facts = lists.map(({ issuer, url, bytes }) => {
    const list = parseCrl(bytes);
    return {
      issuer,
      number: `0x${(list.crlNumber ?? 0n).toString(16)}`,
      thisUpdate: formatRfc3339(list.thisUpdate),
      nextUpdate: list.nextUpdate === undefined ? null : formatRfc3339(list.nextUpdate),
      entries: list.entries.size,
      bytes: bytes.byteLength,
      delta: list.deltaCrlBase !== undefined,
      url: url ?? null,
    };
  });
  if (output === 'json') return `${JSON.stringify(facts, null, 2)}\n`;
  return facts
    .map(({ issuer, number, thisUpdate, nextUpdate, entries, delta, url }) => {
      const kind = delta ? 'delta' : 'list';
      const size = counted(entries, 'certificate');
      const where = url === null ? '' : `, at ${url}`;
      return `${issuer} ${kind} ${number}: ${size}, from ${thisUpdate} until ${nextUpdate ?? 'further notice'}${where}\n`;
    })
    .join('');
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `crl: ${reason}`, {
    hint: 'run `countersign crl --help`',
  });
}
