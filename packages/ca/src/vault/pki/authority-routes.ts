import { formatDuration, parseDuration } from '@countersign/base';
import { encodePem } from '@countersign/x509';
import type { PkiMount } from '../mounts.ts';
import type { Handler, VaultAnswer, VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, ignoredParameters, readFields, type Values } from '../vault-fields.ts';
import { badRequest, missing, refusal, unsupported, type VaultRefusal } from '../vault-refusal.ts';
import { issuerBy, type MountIssuer, pemOf } from './mount-issuers.ts';

const onAsking = 'a list is made when it is asked for, as of then';
const listFields = {
  expiry: field.text('24h', 'From the beginning of a list to its end.'),
  disable: field.only(field.bool(false, 'No lists.'), 'whoever verifies needs one'),
  auto_rebuild: field.only(field.bool(false, 'Made by the clock.'), onAsking),
  auto_rebuild_grace_period: field.text('12h', 'Of lists that are made by the clock.'),
  enable_delta: field.only(field.bool(false, 'Delta lists.'), onAsking),
  delta_rebuild_interval: field.text('15m', 'Of delta lists.'),
  ocsp_disable: field.bool(false, 'There is no responder below a mount.'),
  ocsp_expiry: field.text('12h', 'Of the answers of a responder.'),
  allow_expired_cert_revocation: field.only(
    field.bool(false, 'Of what has ended.'),
    'what has ended is no longer relied on',
  ),
} as const;

/** Of a mount: its authority's certificate, chain and list, for everybody. */
export const authorityRoutes: readonly VaultRoute<PkiMount>[] = [
  open(
    'ca',
    'The certificate of the authority, in DER.',
    ofDefault((found) => der(found.certificate.raw)),
  ),
  open(
    'ca/pem',
    'The same in PEM.',
    ofDefault((found) => pem(pemOf(found.certificate))),
  ),
  open(
    'cert/ca',
    'The same in JSON.',
    ofDefault((found) => inJson(pemOf(found.certificate))),
  ),
  open(
    'cert/ca/raw',
    'The same in DER.',
    ofDefault((found) => der(found.certificate.raw)),
  ),
  open(
    'cert/ca/raw/pem',
    'The same in PEM.',
    ofDefault((found) => pem(pemOf(found.certificate))),
  ),
  open(
    'ca_chain',
    'The chain of the authority, in PEM.',
    ofDefault((found) => ({ ok: true, raw: chainOf(found), type: 'application/pkix-cert' })),
  ),
  open(
    'cert/ca_chain',
    'The same in JSON.',
    ofDefault((found) => inJson(chainOf(found), { ca_chain: chainOf(found) })),
  ),
  open('crl', 'The revocation list of the authority, in DER.', listAs('der')),
  open('crl/pem', 'The same in PEM.', listAs('pem')),
  open('cert/crl', 'The same in JSON.', listAs('json')),
  open('cert/crl/raw', 'The same in DER.', listAs('der')),
  open('cert/crl/raw/pem', 'The same in PEM.', listAs('pem')),
  {
    path: 'crl/rotate',
    help: 'Lists follow revocations by themselves.',
    on: { read: rotated, update: rotated },
  },
  {
    path: 'config/crl',
    help: 'How lists are made; of a mount of ca.yaml, "publish" decides it.',
    fields: listFields,
    on: { read: readListConfig, update: writeListConfig, patch: writeListConfig },
  },
];

async function listOf({ lists, store }: VaultContext, issuer: MountIssuer, mount: PkiMount) {
  const { open: opening, ledgerName, certificate } = issuer;
  const signer = opening && (async () => (await opening()).signer);
  const config = await store.find('vault-pki-config', mount.record.uuid);
  const expiry = config?.value.crl?.expiry;
  const validityMs = expiry === undefined ? undefined : parseDuration(String(expiry));
  return lists.current({ name: ledgerName, certificate, signer }, validityMs);
}

export function listAs(form: 'der' | 'pem' | 'json' | 'named'): Handler<PkiMount> {
  return async function readList(context, { names }, mount) {
    const issuer = await issuerBy(context, mount, names.ref ?? 'default');
    if (!('chain' in issuer)) return issuer;
    if (issuer.open === undefined) return missing('the key of the issuer is not here');
    const list = await listOf(context, issuer, mount);
    if (!('bytes' in list)) {
      return refusal(list.code, 503, 'the revocation list is not at hand now', {
        operator: list.detail,
      });
    }
    const text = encodePem('X509 CRL', list.bytes);
    if (form === 'der') return { ok: true, raw: list.bytes, type: 'application/pkix-crl' };
    if (form === 'pem') return { ok: true, raw: text, type: 'application/x-pem-file' };
    return form === 'named' ? { ok: true, data: { crl: text } } : inJson(text.trimEnd());
  };
}

function open(path: string, help: string, read: Handler<PkiMount>): VaultRoute<PkiMount> {
  return { path, help, open: ['read'], on: { read } };
}

function ofDefault(show: (issuer: MountIssuer) => VaultAnswer): Handler<PkiMount> {
  return async function showDefault(context, _call, mount): Promise<VaultAnswer | VaultRefusal> {
    const issuer = await issuerBy(context, mount, 'default');
    return 'chain' in issuer ? show(issuer) : issuer;
  };
}

function chainOf({ chain }: MountIssuer): string {
  return chain.map(pemOf).join('\n');
}

function der(raw: Uint8Array): VaultAnswer {
  return { ok: true, raw, type: 'application/pkix-cert' };
}

function pem(raw: string): VaultAnswer {
  return { ok: true, raw, type: 'application/pem-certificate-chain' };
}

function inJson(certificate: string, more: object = {}): VaultAnswer {
  return {
    ok: true,
    data: { ...more, certificate, revocation_time: 0, revocation_time_rfc3339: '' },
  };
}

function rotated(): VaultAnswer {
  return { ok: true, data: { success: true } };
}

async function readListConfig(
  context: VaultContext,
  _call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer> {
  return { ok: true, data: await listConfigOf(context, mount) };
}

async function listConfigOf({ store, authority }: VaultContext, mount: PkiMount): Promise<Values> {
  const usual = Object.fromEntries(
    Object.entries(listFields).map(([name, each]) => [name, each.otherwise]),
  );
  const ms = authority.config.publish?.crl?.validityMs;
  const expiry = ms === undefined ? usual.expiry : formatDuration(ms);
  const settings = await store.find('vault-pki-config', mount.record.uuid);
  return { ...usual, expiry, ...settings?.value.crl };
}

async function writeListConfig(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  if (mount.configured !== undefined) {
    return unsupported('config/crl', '"publish" of ca.yaml decides how lists are made');
  }
  const read = readFields(listFields, call.body, await listConfigOf(context, mount));
  if (!read.ok) return read;
  const expiry = readFields({ expiry: field.duration(0, '') }, { expiry: read.values.expiry });
  if (!expiry.ok) return expiry;
  const seconds = get.number(expiry.values, 'expiry');
  if (seconds < 600 || seconds > 31_536_000) {
    return badRequest(`"expiry" is from 10m to 8760h, found "${get.text(read.values, 'expiry')}"`);
  }
  await context.store.changePki(mount.record.uuid, () => ({ crl: read.values }));
  return { ok: true, data: read.values, warnings: ignoredParameters(read.unknown) };
}
