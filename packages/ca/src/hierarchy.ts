import { hash, type KeyObject } from 'node:crypto';
import { type Clock, errorOfDenial } from '@countersign/base';
import {
  type Certificate,
  generateKeyPair,
  keySigner,
  parseCertificate,
  type Signer,
  spkiOf,
} from '@countersign/x509';
import type { AuthorityCertificateConfig, CaConfig } from './ca-config.ts';
import { type Draft, draftIntermediate, draftRoot } from './draft.ts';
import type { Ledger } from './ledger/ledger.ts';
import { lintDraft } from './linted-draft.ts';
import { signDraft } from './sign-draft.ts';

/** A certificate of the hierarchy with its key, unsealed. */
export interface AuthorityPair {
  /** `root`, or the intermediate's name. */
  readonly name: string;
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
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
 * @throws CountersignError ERR_LINT, ERR_SIGNER, ERR_LEDGER_*
 */
export async function createHierarchy(options: {
  readonly config: CaConfig;
  readonly ledger: Ledger;
  readonly clock: Clock;
}): Promise<Hierarchy> {
  const { config } = options;
  const now = Math.floor(options.clock.now() / 1000) * 1000;

  const [rootKey, ...keys] = await Promise.all(
    [config.root, ...config.intermediates].map((each) => generateKeyPair(each.key)),
  );
  if (rootKey === undefined) throw new TypeError('a key for each certificate');

  const rootSigner = keySigner(rootKey.privateKey);
  const certificate = await certify(
    draftRoot(config.root, facts(config.root, rootSigner)),
    rootSigner,
  );
  const root: AuthorityPair = { name: 'root', certificate, privateKey: rootKey.privateKey };

  const intermediates: AuthorityPair[] = [];
  for (const [index, each] of config.intermediates.entries()) {
    const { privateKey } = keys[index] ?? rootKey;
    const draft = draftIntermediate(each, facts(each, { spki: spkiOf(privateKey) }), certificate);
    intermediates.push({
      name: each.name,
      certificate: await certify(draft, rootSigner),
      privateKey,
    });
  }
  return { root, intermediates };

  function facts(each: AuthorityCertificateConfig, { spki }: Pick<Signer, 'spki'>) {
    const { trustDomain } = config;
    return { trustDomain, spki, notBefore: now - skewMs, notAfter: now + each.validityMs };
  }

  async function certify(draft: Draft, signer: Signer): Promise<Certificate> {
    const linted = lintDraft(draft, signer.algorithm);
    const intent = await options.ledger.intend({
      grant: { kind: 'operator' },
      names: [`uri:spiffe://${config.trustDomain}`],
      spkiHash: hash('sha256', draft.spki.raw),
      provisioner: 'init',
      issuer: 'root',
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
