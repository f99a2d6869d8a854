import type { Clock } from '@countersign/base';
import { type PathRule, readPolicy } from './policy-document.ts';
import type { PolicyRecord } from './vault-objects.ts';
import type { VaultStore } from './vault-store.ts';

/** Whoever has a token may look after it. */
export const defaultPolicy = `# What every token may do that was not made without this policy.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
path "sys/leases/lookup" { capabilities = ["update"] }
`;

export const rootPolicyName = 'root';
export const defaultPolicyName = 'default';

/** Longer ones are no policy of ours. */
const namePattern = /^[a-z0-9_][a-z0-9_.-]{0,100}$/;
/** Texts whose rules are kept, by their text. */
const mostKept = 1000;

/** What Vault warns of: such a token is made, and may do no more than by its other policies. */
export async function unknownPolicies(
  policies: Policies,
  names: readonly string[],
): Promise<string[]> {
  const found = await Promise.all(
    names.map(async (name) => name === rootPolicyName || (await policies.find(name)) !== undefined),
  );
  return names.flatMap((name, i) => (found[i] === true ? [] : [`Policy "${name}" does not exist`]));
}

/** What tokens may do, by the names of their policies. */
export class Policies {
  readonly #store: VaultStore;
  readonly #clock: Clock;
  readonly #read = new Map<string, readonly PathRule[]>();

  constructor(store: VaultStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Those that are not there let nothing. */
  async rulesOf(names: readonly string[]): Promise<readonly PathRule[]> {
    const texts = await Promise.all(names.map(async (name) => (await this.find(name))?.text ?? ''));
    return texts.flatMap((text) => this.#rulesIn(text));
  }

  async find(name: string): Promise<PolicyRecord | undefined> {
    const found = await this.#store.find('vault-policy', name.toLowerCase());
    if (found !== undefined) return found.value;
    if (name !== defaultPolicyName) return undefined;
    return { name, text: defaultPolicy, version: 1, modifiedAt: 0 };
  }

  async names(): Promise<string[]> {
    const all = await this.#store.all('vault-policy', 'all', ({ name }) => name);
    const written = all.map(({ name }) => name).filter((name) => name !== defaultPolicyName);
    return [defaultPolicyName, ...written, rootPolicyName];
  }

  /** What is wrong with it, or undefined once it is kept. */
  async write(name: string, text: string): Promise<string | undefined> {
    const id = name.toLowerCase();
    if (id === rootPolicyName) return `cannot update "${id}" policy`;
    if (!namePattern.test(id))
      return `policy name "${id.slice(0, 100)}" is not made of a-z, 0-9, "_", "-" and "."`;
    const read = readPolicy(text);
    if (!read.ok) return `failed to parse policy: ${read.wrong}`;
    const before = await this.#store.find('vault-policy', id);
    const version = (before?.value.version ?? 0) + 1;
    const record = { name: id, text, version, modifiedAt: this.#clock.now() };
    await this.#store.put('vault-policy', id, record, { owner: 'all' });
    return undefined;
  }

  async remove(name: string): Promise<string | undefined> {
    const id = name.toLowerCase();
    if (id === rootPolicyName || id === defaultPolicyName) return `cannot delete "${id}" policy`;
    await this.#store.remove('vault-policy', id);
    return undefined;
  }

  #rulesIn(text: string): readonly PathRule[] {
    if (text === '') return [];
    const known = this.#read.get(text);
    if (known !== undefined) return known;
    const read = readPolicy(text);
    const rules = read.ok ? read.rules : [];
    if (this.#read.size >= mostKept) this.#read.clear();
    this.#read.set(text, rules);
    return rules;
  }
}
