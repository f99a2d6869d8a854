import { hash } from 'node:crypto';
import { equalBytes, fromBase64 } from '@countersign/base';
import {
  type Certificate,
  encodePem,
  extension,
  parseCertificate,
  verifySignature,
} from '@countersign/x509';
import type { CaConfig } from '../../ca-config.ts';
import { type Issuer, makeIssuer } from '../../issuer.ts';
import { noPublication, type Publication } from '../../publish/certificate-publication.ts';
import { configNameOf } from '../../rotation/rotation-document.ts';
import { type PkiMount, uuidFrom } from '../mounts.ts';
import type { VaultContext } from '../vault-context.ts';
import { get, type Values } from '../vault-fields.ts';
import type { IssuerRecord } from '../vault-objects.ts';
import { refusal, type VaultRefusal } from '../vault-refusal.ts';

/** A certificate of an authority, as a mount shows it. */
export interface MountIssuer {
  readonly id: string;
  /** Empty: none. */
  readonly name: string;
  readonly certificate: Certificate;
  /** Empty: its key is not here. */
  readonly keyId: string;
  /** As the ledger names it. */
  readonly ledgerName: string;
  readonly isDefault: boolean;
  /** When it was revoked by the mount: it signs no more, but for its list. */
  readonly revokedAt?: number | undefined;
  /** Its own certificate first, the root last where it is known. */
  readonly chain: readonly Certificate[];
  /** With its key, as it signs; undefined where that is not here. */
  readonly open: (() => Promise<Issuer>) | undefined;
}

/** All that a mount has, the one that signs by itself first. */
export async function issuersOf(
  context: VaultContext,
  mount: PkiMount,
): Promise<readonly MountIssuer[]> {
  return mount.configured === undefined
    ? await madeIssuers(context, mount)
    : configuredIssuers(context, mount.configured.intermediate);
}

/** Of its record: one certificate may be in several mounts. */
export function issuerKey(mount: string, id: string): string {
  return `${mount}.${id}`;
}

/** By `default`, id or name. */
export async function issuerBy(
  context: VaultContext,
  mount: PkiMount,
  ref: string,
): Promise<MountIssuer | VaultRefusal> {
  const all = await issuersOf(context, mount);
  const found = all.find((each) =>
    ref === 'default' ? each.isDefault : each.id === ref || (each.name !== '' && each.name === ref),
  );
  if (found !== undefined) return found;
  const told =
    ref === 'default'
      ? 'no default issuer currently configured'
      : `unable to find PKI issuer for reference: ${ref.slice(0, 100)}`;
  return refusal('ERR_VAULT_PATH', 500, `1 error occurred:\n\t* ${told}\n\n`);
}

/** Whether a certificate is of a mount: signed by one of its issuers, vouched for by it. */
export async function isOfMount(
  context: VaultContext,
  mount: PkiMount,
  { issuer, provisioner }: { readonly issuer: string; readonly provisioner: string },
): Promise<boolean> {
  if (provisioner !== mount.provisioner) return false;
  if (mount.configured !== undefined) return configNameOf(issuer) === mount.configured.intermediate;
  return (await issuersOf(context, mount)).some((each) => each.ledgerName === issuer);
}

function configuredIssuers({ authority }: VaultContext, intermediate: string): MountIssuer[] {
  const issuer = authority.doors.issuerOf(intermediate);
  if (issuer === undefined) return [];
  const chain = [...issuer.chain, authority.root];
  return chain.map((certificate, depth) => ({
    id: idOf(certificate),
    name: depth === 0 ? intermediate : '',
    certificate,
    keyId: depth === 0 ? keyIdOf(certificate) : '',
    ledgerName: depth === 0 ? issuer.ledgerName : '',
    isDefault: depth === 0,
    chain: chain.slice(depth),
    open: depth === 0 ? async () => issuer : undefined,
  }));
}

async function madeIssuers(context: VaultContext, mount: PkiMount): Promise<MountIssuer[]> {
  const { store, madeKeys, authority } = context;
  const { uuid } = mount.record;
  const [records, keys, settings] = await Promise.all([
    store.all('vault-issuer', uuid, ({ id }) => issuerKey(uuid, id)),
    madeKeys.all(mount),
    store.find('vault-pki-config', uuid),
  ]);
  const first = settings?.value.defaultIssuer;
  const read = records.map((record) => ({ record, certificate: certificateIn(record) }));
  const all = read.map(({ record, certificate }): MountIssuer => {
    const key = keys.find(({ id }) => id === record.keyId);
    const chain = chainOf(
      certificate,
      read.map((each) => each.certificate),
    );
    const { id, name, ledgerName } = record;
    const open =
      key &&
      (async () => {
        const signer = await madeKeys.signerOf(key);
        const root = chain.at(-1) ?? certificate;
        const below = isSelfIssued(root) && chain.length > 1 ? chain.slice(0, -1) : chain;
        const pair = { name: ledgerName, certificate, signer };
        const urls = settings?.value.urls ?? {};
        return builtOnce(authority.config, JSON.stringify([id, below.length, urls]), (config) =>
          makeIssuer(pair, below, root, config, publicationFrom(urls)),
        );
      });
    return {
      id,
      name,
      certificate,
      keyId: key?.id ?? '',
      ledgerName,
      revokedAt: record.revokedAt,
      isDefault: id === first,
      chain,
      open,
    };
  });
  return all.toSorted((a, b) => Number(b.isDefault) - Number(a.isDefault));
}

function certificateIn({ certificate }: IssuerRecord): Certificate {
  return parseCertificate(fromBase64(certificate) ?? new Uint8Array());
}

/** From it to the top, as far as the certificates at hand lead. */
function chainOf(certificate: Certificate, all: readonly Certificate[]): Certificate[] {
  const chain = [certificate];
  for (let below = certificate; !isSelfIssued(below) && chain.length < 10; ) {
    const above = all.find((each) => isIssuedBy(below, each));
    if (above === undefined || chain.includes(above)) break;
    chain.push(above);
    below = above;
  }
  return chain;
}

function isIssuedBy(below: Certificate, above: Certificate): boolean {
  if (!equalBytes(below.issuer.raw, above.subject.raw)) return false;
  return verifySignature(above.spki, below.signatureAlgorithm, below.tbs, below.signature);
}

export function isSelfIssued({ issuer, subject }: Certificate): boolean {
  return equalBytes(issuer.raw, subject.raw);
}

export function idOf({ raw }: Certificate): string {
  return uuidFrom(hash('sha256', raw, 'buffer'));
}

export function keyIdOf({ spki }: Certificate): string {
  return uuidFrom(hash('sha256', spki.raw, 'buffer'));
}

const written = new WeakMap<object, string>();

/** Without a line break at its end, as that API's answers have it. */
export function pemOf(certificate: Pick<Certificate, 'raw'>): string {
  const known = written.get(certificate) ?? encodePem('CERTIFICATE', certificate.raw).trimEnd();
  written.set(certificate, known);
  return known;
}

/** What a made mount's certificates name, by its `config/urls`. */
function publicationFrom(urls: Values): Publication {
  const lists = get.list(urls, 'crl_distribution_points');
  const caIssuers = get.list(urls, 'issuing_certificates');
  const ocsp = get.list(urls, 'ocsp_servers');
  if (lists.length + caIssuers.length + ocsp.length === 0) return noPublication;
  return {
    extensions: [
      ...(lists.length === 0 ? [] : [extension.crlDistributionPoints(lists.map((each) => [each]))]),
      ...(caIssuers.length + ocsp.length === 0
        ? []
        : [extension.authorityInfoAccess({ ocsp: [...ocsp], caIssuers: [...caIssuers] })]),
    ],
    shard: undefined,
  };
}

/** By the configuration, whose profiles are worked out in an issuer, and by what else decides it. */
const built = new WeakMap<CaConfig, Map<string, Issuer>>();
const mostBuilt = 1000;

function builtOnce(config: CaConfig, id: string, build: (config: CaConfig) => Issuer): Issuer {
  const known = built.get(config) ?? new Map<string, Issuer>();
  built.set(config, known);
  const issuer = known.get(id) ?? build(config);
  if (known.size >= mostBuilt) known.clear();
  known.set(id, issuer);
  return issuer;
}
