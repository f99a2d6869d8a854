import { hash } from 'node:crypto';
import { type Clock, errorOfDenial } from '@countersign/base';
import { type Certificate, parseCertificate, type Signer } from '@countersign/x509';
import type { AuthorityCertificateConfig, CaConfig } from './ca-config.ts';
import { constraintsOf } from './constraints/name-constraints.ts';
import { type Draft, draftIntermediate, draftRoot, type IssuingAuthority } from './draft.ts';
import { fromTheTop } from './hierarchy-config.ts';
import type { Ledger } from './ledger/ledger.ts';
import { lintDraft } from './linted-draft.ts';
import { publicationOf } from './publish/certificate-publication.ts';
import { signDraft } from './sign-draft.ts';
import type { KeyDescription } from './signers/key-store.ts';
import type { KeyStores } from './signers/key-stores.ts';

/** A certificate of the hierarchy with its key: to keep, and to sign with. */
export interface AuthorityPair {
  /** `root`, or the intermediate's name. */
  readonly name: string;
  readonly certificate: Certificate;
  readonly key: KeyDescription;
  readonly signer: Signer;
}

export interface Hierarchy {
  readonly root: AuthorityPair;
  readonly intermediates: readonly AuthorityPair[];
}

/** The authority's own certificates begin this long before now, before any certificate of a service can. */
const skewMs = 5 * 60_000;

/**
 * Makes root and intermediates as configured. They are ordered in the ledger like every other certificate, so that
 * nothing at all is signed without an intent.
 *
 * @throws CountersignError ERR_LINT, ERR_SIGNER*, ERR_LEDGER_*
 */
export async function createHierarchy(options: {
  readonly config: CaConfig;
  readonly ledger: Ledger;
  readonly stores: KeyStores;
  readonly clock: Clock;
}): Promise<Hierarchy> {
  const { config, stores } = options;
  const now = Math.floor(options.clock.now() / 1000) * 1000;

  // All of them, even where one fails: what is still being made could not be taken back.
  const made = await Promise.allSettled(
    [{ ...config.root, name: 'root' }, ...config.intermediates].map(makeKey),
  );
  const [rootKey, ...keys] = made.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
  if (rootKey === undefined) throw new TypeError('a key for each certificate');

  const draft = draftRoot(config.root, facts(config.root, rootKey.signer));
  const certificate = await certify(draft, { name: 'root', signer: rootKey.signer });
  const root: AuthorityPair = { name: 'root', certificate, ...rootKey };

  const done = new Map<string, AuthorityPair & IssuingAuthority>([
    ['root', { ...root, links: [] }],
  ]);
  for (const each of fromTheTop(config.intermediates)) {
    const key = keys[config.intermediates.indexOf(each)];
    const issuer = done.get(each.issuer);
    if (key === undefined || issuer === undefined) throw new TypeError('an issuer for each');
    const publication = publicationOf(config.publish, issuer, 'authorities');
    const draft = draftIntermediate(each, facts(each, key.signer), issuer, publication);
    const signed = await certify(draft, issuer);
    const links = [constraintsOf(signed), ...issuer.links];
    done.set(each.name, { name: each.name, certificate: signed, ...key, links });
  }
  const intermediates = config.intermediates.flatMap(({ name }) => done.get(name) ?? []);
  return { root, intermediates };

  async function makeKey(each: AuthorityCertificateConfig & { readonly name: string }) {
    const key = await stores.generate(each.storage, each.key, each.name);
    return { key, signer: await stores.of(each.storage).open(key) };
  }

  function facts(each: AuthorityCertificateConfig, { spki }: Pick<Signer, 'spki'>) {
    const { trustDomain } = config;
    return { trustDomain, spki, notBefore: now - skewMs, notAfter: now + each.validityMs };
  }

  async function certify(
    draft: Draft,
    { name, signer }: Pick<AuthorityPair, 'name' | 'signer'>,
  ): Promise<Certificate> {
    const linted = lintDraft(draft, signer.algorithm);
    const intent = await options.ledger.intend({
      grant: { kind: 'operator' },
      names: [`uri:spiffe://${config.trustDomain}`],
      spkiHash: hash('sha256', draft.spki.raw),
      provisioner: 'init',
      issuer: name,
      notAfter: draft.notAfter,
    });
    if (!intent.ok) throw errorOfDenial(intent, `order the ${draft.profile} certificate`);
    const der = await signDraft(linted, intent, signer);
    await options.ledger.issued({
      intent: intent.position,
      serialHex: intent.serialHex,
      der,
    });
    return parseCertificate(der);
  }
}
