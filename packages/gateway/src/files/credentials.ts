import { type Clock, CountersignError, type Log } from '@countersign/base';
import { type IdentitySource, readTlsIdentity, type TlsIdentity } from '@countersign/mtls';
import type { Changes, SvidSource } from '@countersign/spiffe';
import { parseOcspResponse } from '@countersign/x509';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { Trust } from '../reask.ts';
import { FileTrust } from './file-trust.ts';
import { FollowedFiles } from './followed-files.ts';

export interface CredentialsOptions {
  readonly model: Pick<GatewayModel, 'identities' | 'trusts'>;
  /** The gateway's own identity, where it has one. */
  readonly svids: SvidSource | undefined;
  /** Who vouches for peers where nothing else is said. */
  readonly trust: Trust;
  /** How often it is looked whether files have changed; every second unless given. */
  readonly lookEveryMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** `own`, or the name of one of the model's. */
export type CredentialName = 'own' | { readonly name: string };

/** What is shown and who is trusted, by name: the gateway's own, and those of files. */
export class Credentials implements Changes {
  readonly #own: IdentitySource;
  readonly #ownTrust: Trust;
  readonly #identities: ReadonlyMap<string, FollowedFiles<TlsIdentity>>;
  readonly #trusts: ReadonlyMap<string, FileTrust>;
  readonly #staples: Staples;

  private constructor(
    { svids, trust }: CredentialsOptions,
    identities: ReadonlyMap<string, FollowedFiles<TlsIdentity>>,
    trusts: ReadonlyMap<string, FileTrust>,
    staples: Staples,
  ) {
    this.#staples = staples;
    this.#own = svids ?? noIdentity;
    this.#ownTrust = trust;
    this.#identities = identities;
    this.#trusts = trusts;
  }

  /** @throws CountersignError of what cannot be read or used */
  static async open(options: CredentialsOptions): Promise<Credentials> {
    const { model, clock, log, lookEveryMs } = options;
    const identities = new Map<string, FollowedFiles<TlsIdentity>>();
    const trusts = new Map<string, FileTrust>();
    const staples: Staples = new WeakMap();
    try {
      for (const { name, certificate, key, staple } of model.identities) {
        const read = ([chain, secret, response]: readonly Buffer[]) => {
          const identity = readTlsIdentity(chain?.toString() ?? '', secret?.toString() ?? '');
          if (response !== undefined) staples.set(identity, readStaple(response));
          return identity;
        };
        const sources = [certificate, key, ...(staple === undefined ? [] : [staple])];
        const how = { name, sources, read, clock, log, lookEveryMs };
        identities.set(name, await FollowedFiles.follow(how));
      }
      for (const each of model.trusts) {
        trusts.set(each.name, await FileTrust.open(each, { clock, log, lookEveryMs }));
      }
      return new Credentials(options, identities, trusts, staples);
    } catch (thrown) {
      new Credentials(options, identities, trusts, staples).stop();
      throw thrown;
    }
  }

  identityOf(which: CredentialName): IdentitySource {
    if (which === 'own') return this.#own;
    const files = this.#identities.get(which.name);
    if (files === undefined) return noIdentity;
    return Object.assign<IdentitySource, Changes>(
      { svid: () => files.value },
      { onChange: (listener) => files.onChange(listener) },
    );
  }

  trustOf(which: CredentialName): Trust {
    if (which === 'own') return this.#ownTrust;
    const trust = this.#trusts.get(which.name);
    if (trust !== undefined) return trust;
    throw new CountersignError('ERR_INTERNAL', `no trust has the name "${which.name}"`);
  }

  /** The response that a file has for an identity of files, for as long as it holds. */
  stapleOf(identity: TlsIdentity, now: number): Uint8Array | undefined {
    const staple = this.#staples.get(identity);
    return staple === undefined || now >= staple.until ? undefined : staple.der;
  }

  onChange(listener: () => void): () => void {
    const ends = this.#files().map((each) => each.onChange(listener));
    return () => {
      for (const end of ends) end();
    };
  }

  /** Reads what has changed now. */
  async look(): Promise<void> {
    await Promise.all(this.#files().map((each) => each.look()));
  }

  /** For the status page. */
  report(): readonly object[] {
    return [...this.#identities].map(([name, { value }]) => ({
      name,
      spiffeId: value.spiffeId?.toString(),
      serial: value.serialHex,
      notAfter: new Date(value.notAfter).toISOString(),
    }));
  }

  /** The first identity of files that has ended, as a fragment. */
  unwell(now: number): string | undefined {
    for (const [name, { value }] of this.#identities) {
      if (now > value.notAfter) {
        return `certificate "${name}" expired at ${new Date(value.notAfter).toISOString()}`;
      }
    }
    return undefined;
  }

  stop(): void {
    for (const files of this.#files()) files.stop();
  }

  #files(): readonly (FollowedFiles<TlsIdentity> | FileTrust['files'])[] {
    return [...this.#identities.values(), ...[...this.#trusts.values()].map(({ files }) => files)];
  }
}

type Staples = WeakMap<TlsIdentity, Staple>;

interface Staple {
  readonly der: Uint8Array;
  /** Ms since the epoch. */
  readonly until: number;
}

/** Clients judge what it says; here only whether it is one, and until when. */
function readStaple(der: Uint8Array): Staple {
  const { basic } = parseOcspResponse(der);
  if (basic === undefined) {
    throw new CountersignError(
      'ERR_OCSP_RESPONSE_STATUS',
      'the OCSP response to staple is no answer',
    );
  }
  const ends = basic.responses.map(({ nextUpdate }) => nextUpdate ?? Number.POSITIVE_INFINITY);
  return { der, until: Math.min(...ends) };
}

const noIdentity: IdentitySource = {
  svid() {
    throw new CountersignError('ERR_SVID_NONE', 'the gateway has no identity of its own');
  },
};
