import { encodePem } from '@countersign/x509';
import type { PkiMount } from '../mounts.ts';
import type { Handler, VaultAnswer, VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { refusal, unsupported, type VaultRefusal } from '../vault-refusal.ts';
import { issuerBy, type MountIssuer, pemOf } from './mount-issuers.ts';

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
    help: 'How lists are made: "publish" of ca.yaml decides it.',
    on: {
      read: readListConfig,
      update: () => unsupported('config/crl', '"publish" of ca.yaml decides how lists are made'),
      patch: () => unsupported('config/crl', '"publish" of ca.yaml decides how lists are made'),
    },
  },
];

export function listOf({ lists }: VaultContext, issuer: MountIssuer) {
  const { open: opening, ledgerName, certificate } = issuer;
  const signer = opening && (async () => (await opening()).signer);
  return lists.current({ name: ledgerName, certificate, signer });
}

export function listAs(form: 'der' | 'pem' | 'json' | 'named'): Handler<PkiMount> {
  return async function readList(context, { names }, mount) {
    const issuer = await issuerBy(context, mount, names.ref ?? 'default');
    if (!('chain' in issuer)) return issuer;
    const list = await listOf(context, issuer);
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

function readListConfig({ authority }: VaultContext, _call: VaultCall): VaultAnswer {
  const hours = (authority.config.publish?.crl?.validityMs ?? 0) / 3_600_000;
  const data = {
    allow_expired_cert_revocation: false,
    auto_rebuild: true,
    auto_rebuild_grace_period: '0s',
    delta_rebuild_interval: '0s',
    disable: false,
    enable_delta: authority.config.publish?.crl?.deltaMs !== undefined,
    expiry: `${hours || 24}h`,
    ocsp_disable: authority.config.publish?.ocsp === undefined,
    ocsp_expiry: '0s',
  };
  return { ok: true, data };
}
