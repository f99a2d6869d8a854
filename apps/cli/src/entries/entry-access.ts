import { CountersignError, type Denial, errorOfDenial } from '@countersign/base';
import type { Authority } from '@countersign/ca';
import { authorityClient, readIdentity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import type { AuthorityClient, EntryDraft, RegisteredEntry } from '@countersign/wire';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { asOperator } from '../state/open-state.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';

export interface EntryAccessOptions extends Partial<StateOptions> {
  readonly ca?: string;
  readonly identity?: string;
}

/** The registration entries of an authority, whichever way leads to them. */
export interface EntryAccess {
  list(): Promise<readonly RegisteredEntry[]>;
  create(draft: EntryDraft): Promise<RegisteredEntry>;
  delete(id: string): Promise<RegisteredEntry>;
}

export function addEntryAccessOptions(command: Command): Command {
  return addSealOptions(
    command
      .option('--data <dir>', "the authority's data directory, for whoever holds it")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
      .option('--ca <url>', 'the authority; of identity.json unless given')
      .option('--identity <dir>', 'instead of --data: an identity that api.admins names'),
  );
}

/** @throws CountersignError ERR_USAGE, and of the way that was taken */
export async function withEntries<T>(
  cli: Cli,
  options: EntryAccessOptions,
  work: (access: EntryAccess) => Promise<T>,
): Promise<T> {
  const { data, ca, identity } = options;
  if (data !== undefined && ca === undefined && identity === undefined) {
    return asOperator(
      cli,
      { ...options, data },
      {
        server: (client) => work(overClient(client)),
        state: (authority) => work(inState(authority)),
      },
    );
  }
  if (data !== undefined || identity === undefined) {
    throw usage('--data, or --identity with --ca, says by whose right');
  }
  const { svid, bundle, ca: ownCa } = await readIdentity(identity);
  const url = ca ?? ownCa;
  if (url === undefined) throw usage('--ca is missing, and identity.json names no authority');
  const client = authorityClient({
    url,
    svids: staticSvid(svid),
    bundles: staticBundles(bundle),
    trustDomain: bundle.trustDomain,
    clock: cli.clock,
  });
  return work(overClient(client));
}

function overClient(client: AuthorityClient): EntryAccess {
  return {
    list: () => client.entries(),
    create: (draft) => client.createEntry(draft),
    delete: (id) => client.deleteEntry(id),
  };
}

function inState({ entries }: Authority): EntryAccess {
  return {
    list: async () => (await entries.inForce()).entries,
    create: async (draft) => granted(await entries.create(draft, 'operator'), 'create entry'),
    delete: async (id) => granted(await entries.delete(id, 'operator'), `delete entry "${id}"`),
  };
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `entry: ${reason}`, {
    hint: 'run `countersign entry create --help`',
  });
}

function granted(
  answer: { readonly ok: true; readonly entry: RegisteredEntry } | Denial,
  attempted: string,
): RegisteredEntry {
  if (answer.ok) return answer.entry;
  throw errorOfDenial(answer, attempted);
}
