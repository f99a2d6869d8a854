import { hash } from 'node:crypto';
import { type Clock, errorOfDenial } from '@countersign/base';
import {
  type Certificate,
  parseCertificate,
  type Signer,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import type { AuthorityCertificateConfig, CaConfig, IntermediateConfig } from './ca-config.ts';
import { constraintsOf } from './constraints/name-constraints.ts';
import {
  type AuthorityDraftFacts,
  type Draft,
  draftIntermediate,
  draftRoot,
  type IssuingAuthority,
} from './draft.ts';
import { fromTheTop } from './hierarchy-config.ts';
import type { Intent, Ledger } from './ledger/ledger.ts';
import { lintDraft } from './linted-draft.ts';
import { publicationOf } from './publish/certificate-publication.ts';
import { signDraft } from './sign-draft.ts';
import type { KeyDescription } from './signers/key-store.ts';
import type { KeyStores } from './signers/key-stores.ts';

/** A key of the hierarchy: to keep, and to sign with. */
export interface AuthorityKey {
  /** `root`, or the intermediate's name. */
  readonly name: string;
  readonly key: KeyDescription;
  readonly signer: Signer;
}

/** A certificate of the hierarchy with its key. */
export interface AuthorityPair extends AuthorityKey {
  readonly certificate: Certificate;
}

export interface Hierarchy {
  readonly root: AuthorityPair;
  readonly intermediates: readonly AuthorityPair[];
}

export interface HierarchyContext {
  readonly config: CaConfig;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** An edge on whose word it is made; absent: whoever holds the state. */
  readonly by?: { readonly provisioner: string; readonly evidence: string } | undefined;
}

/** The authority's own certificates begin this long before now, before any certificate of a service can. */
const skewMs = 5 * 60_000;

/**
 * Makes root and intermediates as configured. They are ordered in the ledger like every other certificate, so that
 * nothing at all is signed without an intent.
 *
 * @throws CountersignError ERR_LINT, ERR_SIGNER*, ERR_LEDGER_*
 */
export async function createHierarchy(
  options: HierarchyContext & { readonly stores: KeyStores },
): Promise<Hierarchy> {
  const { config, stores } = options;
  const keys = await makeKeys(
    [{ ...config.root, name: 'root' }, ...config.intermediates],
    () => stores,
  );
  const root = await makeRoot(keys, options);
  const intermediates = await makeLevels(new Map([['root', root]]), keys, options);
  return { root, intermediates };
}

/** All of them, even where one fails: what is still being made could not be taken back. */
export async function makeKeys(
  authorities: readonly (AuthorityCertificateConfig & { readonly name: string })[],
  storesOf: (name: string) => KeyStores,
): Promise<ReadonlyMap<string, AuthorityKey>> {
  const made = await Promise.allSettled(
    authorities.map(async ({ name, storage, key: kind }): Promise<AuthorityKey> => {
      const stores = storesOf(name);
      const key = await stores.generate(storage, kind, name);
      return { name, key, signer: await (await stores.of(storage)).open(key) };
    }),
  );
  return new Map(
    made.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return [outcome.value.name, outcome.value];
    }),
  );
}

export async function makeRoot(
  keys: ReadonlyMap<string, AuthorityKey>,
  context: HierarchyContext,
): Promise<AuthorityPair> {
  const { config } = context;
  const key = keyOf('root', keys);
  const draft = draftRoot(config.root, authorityFacts(config.root, key.signer.spki, context));
  return { ...key, certificate: await certify(draft, key, context) };
}

/**
 * The intermediates that are not `made` yet, each by its issuer, from the top.
 *
 * @returns all intermediates, those that were made before included, in file order
 */
export async function makeLevels(
  made: ReadonlyMap<string, AuthorityPair>,
  keys: ReadonlyMap<string, AuthorityKey>,
  context: HierarchyContext,
): Promise<AuthorityPair[]> {
  const { intermediates } = context.config;
  const done = new Map(made);
  for (const each of fromTheTop(intermediates)) {
    const issuer = done.get(each.issuer);
    if (done.has(each.name)) continue;
    if (issuer === undefined) throw new TypeError('an issuer before those that it issues');
    const key = keyOf(each.name, keys);
    const facts = authorityFacts(each, key.signer.spki, context);
    const draft = draftBelow(
      each,
      facts,
      { ...issuer, links: linksOf(each.issuer) },
      context.config,
    );
    done.set(each.name, { ...key, certificate: await certify(draft, issuer, context) });
  }
  return intermediates.flatMap(({ name }) => done.get(name) ?? []);

  function linksOf(name: string): IssuingAuthority['links'] {
    const certificate = done.get(name)?.certificate;
    const above = intermediates.find((each) => each.name === name)?.issuer;
    if (certificate === undefined || above === undefined) return [];
    return [constraintsOf(certificate), ...linksOf(above)];
  }
}

/** The draft of an intermediate: whoever signs it and whoever asked for it come to the same. */
export function draftBelow(
  config: IntermediateConfig,
  facts: AuthorityDraftFacts,
  issuer: IssuingAuthority & { readonly name: string },
  { publish }: Pick<CaConfig, 'publish'>,
): Draft {
  return draftIntermediate(config, facts, issuer, publicationOf(publish, issuer, 'authorities'));
}

export function authorityFacts(
  { validityMs }: Pick<AuthorityCertificateConfig, 'validityMs'>,
  spki: SubjectPublicKeyInfo,
  { config, clock }: Pick<HierarchyContext, 'config' | 'clock'>,
): AuthorityDraftFacts {
  const now = Math.floor(clock.now() / 1000) * 1000;
  const { trustDomain } = config;
  return { trustDomain, spki, notBefore: now - skewMs, notAfter: now + validityMs };
}

/** The intent of a certificate of the hierarchy: its serial, before anything is signed. */
export async function orderAuthority(
  draft: Draft,
  issuer: string,
  { config, ledger }: Pick<HierarchyContext, 'config' | 'ledger'>,
  provisioner = 'init',
): Promise<Intent> {
  const intent = await ledger.intend({
    grant: { kind: 'operator' },
    names: [`uri:spiffe://${config.trustDomain}`],
    spkiHash: hash('sha256', draft.spki.raw),
    provisioner,
    issuer,
    notAfter: draft.notAfter,
  });
  if (intent.ok) return intent;
  throw errorOfDenial(intent, `order the ${draft.profile} certificate`);
}

/** Lint, intent, signature, record: the one way to a certificate of the hierarchy. */
export async function certify(
  draft: Draft,
  issuer: Pick<AuthorityKey, 'name' | 'signer'>,
  context: HierarchyContext,
): Promise<Certificate> {
  const linted = lintDraft(draft, issuer.signer.algorithm);
  const intent = await orderAuthority(draft, issuer.name, context);
  const der = await signDraft(linted, intent, issuer.signer);
  const { position, serialHex } = intent;
  await context.ledger.issued({ intent: position, serialHex, der });
  return parseCertificate(der);
}

function keyOf(name: string, keys: ReadonlyMap<string, AuthorityKey>): AuthorityKey {
  const key = keys.get(name);
  if (key === undefined) throw new TypeError(`a key for "${name}"`);
  return key;
}
