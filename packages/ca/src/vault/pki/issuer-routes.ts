import { encodePem, keyKindOf } from '@countersign/x509';
import { forever } from '../../ledger/edge/edge-objects.ts';
import type { PkiMount } from '../mounts.ts';
import {
  done,
  type Handler,
  type VaultAnswer,
  type VaultCall,
  type VaultRoute,
} from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields } from '../vault-fields.ts';
import {
  badRequest,
  missing,
  refusedByAuthority,
  unsupported,
  type VaultRefusal,
} from '../vault-refusal.ts';
import { listAs } from './authority-routes.ts';
import { formatSerial } from './certificate-answer.ts';
import { issuerBy, issuerKey, issuersOf, type MountIssuer } from './mount-issuers.ts';

const everything = 'crl-signing,issuing-certificates,ocsp-signing,read-only';
const issuerFields = {
  issuer_name: field.text('', 'A name to refer to it by.'),
  leaf_not_after_behavior: field.only(
    field.text('err', 'Certificates that outlive it.'),
    'profiles of ca.yaml decide it (beyond_chain)',
  ),
  usage: field.list(everything.split(','), 'What it may be used for: everything.'),
  manual_chain: field.only(field.list([], 'Its chain.'), 'chains are found by signatures'),
  revocation_signature_algorithm: field.text('', 'The key decides it.'),
  issuing_certificates: field.only(
    field.list([], 'Of this issuer.'),
    'write config/urls of the mount',
  ),
  crl_distribution_points: field.only(
    field.list([], 'Of this issuer.'),
    'write config/urls of the mount',
  ),
  delta_crl_distribution_points: field.only(
    field.list([], 'Of this issuer.'),
    'write config/urls of the mount',
  ),
  ocsp_servers: field.only(field.list([], 'Of this issuer.'), 'write config/urls of the mount'),
  enable_aia_url_templating: field.only(
    field.bool(false, 'Templates in addresses.'),
    'write addresses out',
  ),
} as const;

const urlFields = {
  issuing_certificates: field.list([], "Where the issuer's certificate is."),
  crl_distribution_points: field.list([], 'Where its revocation list is.'),
  delta_crl_distribution_points: field.only(
    field.list([], 'Where its delta list is.'),
    'there is none for such mounts',
  ),
  ocsp_servers: field.list([], 'Where its OCSP responder is.'),
  enable_templating: field.only(
    field.bool(false, 'Templates in addresses.'),
    'write addresses out',
  ),
} as const;

const inFile = 'the mount is one of ca.yaml, which decides that';

/** Of a mount: its authorities, by `default`, id or name. */
export const issuerRoutes: readonly VaultRoute<PkiMount>[] = [
  { path: 'issuers', help: 'Lists the issuers.', open: ['list'], on: { list: listIssuers } },
  {
    path: 'issuer/:ref',
    help: 'One issuer.',
    fields: issuerFields,
    on: {
      read: withIssuer(readIssuer),
      update: withIssuer(nameIssuer),
      patch: withIssuer(nameIssuer),
      delete: withIssuer(removeIssuer),
    },
  },
  {
    path: 'issuer/:ref/revoke',
    help: 'Revokes the certificate of an issuer, which signs no more.',
    on: { update: withIssuer(revokeIssuer) },
  },
  shown('json', 'The certificate of an issuer.', (found) => ({
    ok: true,
    data: {
      ca_chain: found.chain.map(withBreak),
      certificate: withBreak(found.certificate),
      issuer_id: found.id,
      issuer_name: found.name,
    },
  })),
  shown('pem', 'The same in PEM.', (found) => ({
    ok: true,
    raw: withBreak(found.certificate),
    type: 'application/pem-certificate-chain',
  })),
  shown('der', 'The same in DER.', (found) => ({
    ok: true,
    raw: found.certificate.raw,
    type: 'application/pkix-cert',
  })),
  {
    path: 'issuer/:ref/crl',
    help: "An issuer's list.",
    open: ['read'],
    on: { read: listAs('named') },
  },
  {
    path: 'issuer/:ref/crl/pem',
    help: 'The same in PEM.',
    open: ['read'],
    on: { read: listAs('pem') },
  },
  {
    path: 'issuer/:ref/crl/der',
    help: 'The same in DER.',
    open: ['read'],
    on: { read: listAs('der') },
  },
  {
    path: 'config/issuers',
    help: 'Which issuer signs by itself.',
    on: { read: readDefault, update: writeDefault },
  },
  { path: 'keys', help: 'Lists the keys.', on: { list: listKeys } },
  { path: 'key/:ref', help: 'One key.', on: { read: readKey } },
  { path: 'config/keys', help: 'Which key is used by itself.', on: { read: readDefaultKey } },
  {
    path: 'config/urls',
    help: 'What certificates name: where to find the issuer and its list.',
    fields: urlFields,
    on: { read: readUrls, update: writeUrls },
  },
];

function shown(
  form: string,
  help: string,
  show: (found: MountIssuer) => VaultAnswer,
): VaultRoute<PkiMount> {
  return {
    path: `issuer/:ref/${form}`,
    help,
    open: ['read'],
    on: { read: withIssuer((_, __, found) => show(found)) },
  };
}

type WithIssuer = (
  context: VaultContext,
  call: VaultCall,
  found: MountIssuer,
  mount: PkiMount,
) => Promise<VaultAnswer | VaultRefusal> | VaultAnswer | VaultRefusal;

function withIssuer(then: WithIssuer): Handler<PkiMount> {
  return async function ofIssuer(context, call, mount) {
    const found = await issuerBy(context, mount, call.names.ref ?? '');
    return 'chain' in found ? await then(context, call, found, mount) : found;
  };
}

async function listIssuers(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const all = await issuersOf(context, mount);
  if (all.length === 0) return missing('there are no issuers');
  const key_info = Object.fromEntries(
    all.map((each) => [
      each.id,
      {
        is_default: each.isDefault,
        issuer_name: each.name,
        key_id: each.keyId,
        serial_number: formatSerial(each.certificate.serialHex),
      },
    ]),
  );
  return { ok: true, data: { key_info, keys: all.map(({ id }) => id).toSorted() } } as const;
}

function readIssuer(_context: VaultContext, _call: VaultCall, found: MountIssuer): VaultAnswer {
  return { ok: true, data: issuerView(found) };
}

function issuerView(found: MountIssuer) {
  return {
    ca_chain: found.chain.map(withBreak),
    certificate: withBreak(found.certificate),
    crl_distribution_points: [],
    delta_crl_distribution_points: [],
    issuer_id: found.id,
    issuer_name: found.name,
    issuing_certificates: [],
    key_id: found.keyId,
    leaf_not_after_behavior: 'err',
    manual_chain: null,
    ocsp_servers: [],
    revocation_signature_algorithm: '',
    revoked: found.revokedAt !== undefined,
    usage: found.revokedAt === undefined ? everything : 'crl-signing,ocsp-signing,read-only',
    ...(found.revokedAt !== undefined && {
      revocation_time: Math.floor(found.revokedAt / 1000),
      revocation_time_rfc3339: new Date(found.revokedAt).toISOString(),
    }),
  };
}

async function nameIssuer(
  { store }: VaultContext,
  call: VaultCall,
  found: MountIssuer,
  mount: PkiMount,
) {
  const read = readFields(issuerFields, call.body);
  if (!read.ok) return read;
  const usage = get.list(read.values, 'usage').toSorted().join(',');
  if (usage !== everything)
    return unsupported('usage', `an issuer is used for everything (${everything})`);
  if (!read.given.has('issuer_name')) return { ok: true, data: issuerView(found) } as const;
  if (mount.configured !== undefined) return unsupported('issuer_name', inFile);
  const name = get.text(read.values, 'issuer_name');
  if (name !== '' && !/^\w(?:[\w.-]{0,62}\w)?$/.test(name))
    return badRequest(`issuer name "${name.slice(0, 100)}" is no name`);
  if (name === 'default') return badRequest('reserved issuer name: default');
  const record = await store.mustFind('vault-issuer', issuerKey(mount.record.uuid, found.id));
  await store.put(
    'vault-issuer',
    issuerKey(mount.record.uuid, found.id),
    { ...record.value, name },
    { owner: mount.record.uuid },
  );
  return { ok: true, data: issuerView({ ...found, name }) } as const;
}

async function removeIssuer(
  { store, log }: VaultContext,
  call: VaultCall,
  found: MountIssuer,
  mount: PkiMount,
) {
  if (mount.configured !== undefined) return unsupported('delete', inFile);
  await store.remove('vault-issuer', issuerKey(mount.record.uuid, found.id));
  log.warn(
    { mount: mount.path, issuer: found.id, by: call.caller?.token.who },
    'vault issuer removed',
  );
  return done;
}

/** Where the ledger has it, it is on the list of its own issuer from then on. */
async function revokeIssuer(
  { store, authority, clock, log }: VaultContext,
  call: VaultCall,
  found: MountIssuer,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  if (mount.configured !== undefined) return unsupported('revoke', inFile);
  const { certificate, id } = found;
  if ((await authority.ledger.certificate(certificate.serialHex)) !== undefined) {
    const order = {
      by: 'serial',
      value: certificate.serialHex,
      reason: 'unspecified',
      waitMs: 0,
    } as const;
    const name = `vault:${call.caller?.token.who ?? ''}`;
    const answer = await authority.revoke(order, { kind: 'door', name });
    if (!answer.ok) return refusedByAuthority(answer);
  }
  const key = issuerKey(mount.record.uuid, id);
  const kept = await store.update(
    'vault-issuer',
    key,
    (present) =>
      present.revokedAt === undefined ? { ...present, revokedAt: clock.now() } : undefined,
    () => forever,
  );
  log.warn({ mount: mount.path, issuer: id, by: call.caller?.token.who }, 'vault issuer revoked');
  return { ok: true, data: issuerView({ ...found, revokedAt: kept.revokedAt }) };
}

async function readDefault(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const found = (await issuersOf(context, mount)).find((each) => each.isDefault);
  return {
    ok: true,
    data: { default: found?.id ?? '', default_follows_latest_issuer: false },
  } as const;
}

async function writeDefault(context: VaultContext, call: VaultCall, mount: PkiMount) {
  if (mount.configured !== undefined) return unsupported('config/issuers', inFile);
  if (call.body.default_follows_latest_issuer === true) {
    return unsupported('default_follows_latest_issuer', 'name the default');
  }
  const found = await issuerBy(context, mount, String(call.body.default ?? ''));
  if (!('chain' in found)) return found;
  await context.store.changePki(mount.record.uuid, () => ({ defaultIssuer: found.id }));
  return { ok: true, data: { default: found.id, default_follows_latest_issuer: false } } as const;
}

async function keysOf(context: VaultContext, mount: PkiMount) {
  const issuers = await issuersOf(context, mount);
  const first = issuers.find((each) => each.isDefault)?.keyId;
  const made = mount.configured === undefined ? await context.madeKeys.all(mount) : [];
  const named = made.map(({ id, name }) => ({ id, name }));
  const all = [
    ...named,
    ...issuers.filter(({ keyId }) => keyId !== '').map(({ keyId: id }) => ({ id, name: '' })),
  ];
  const once = all.filter((each, i) => all.findIndex(({ id }) => id === each.id) === i);
  return once.map((each) => ({ ...each, isDefault: each.id === first }));
}

async function listKeys(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const all = await keysOf(context, mount);
  if (all.length === 0) return missing('there are no keys');
  const key_info = Object.fromEntries(
    all.map(({ id, name, isDefault }) => [id, { is_default: isDefault, key_name: name }]),
  );
  return { ok: true, data: { key_info, keys: all.map(({ id }) => id).toSorted() } } as const;
}

async function readKey(context: VaultContext, { names }: VaultCall, mount: PkiMount) {
  const all = await keysOf(context, mount);
  const found = all.find((each) =>
    names.ref === 'default' ? each.isDefault : each.id === names.ref || each.name === names.ref,
  );
  if (found === undefined) return missing(`no key "${names.ref}"`);
  const kind = (await issuersOf(context, mount)).find((each) => each.keyId === found.id)
    ?.certificate.spki;
  const type = kind === undefined ? '' : (keyKindOf(kind)?.type.toLowerCase() ?? '');
  return { ok: true, data: { key_id: found.id, key_name: found.name, key_type: type } } as const;
}

async function readDefaultKey(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  const found = (await keysOf(context, mount)).find((each) => each.isDefault);
  return { ok: true, data: { default: found?.id ?? '' } } as const;
}

async function readUrls(context: VaultContext, _call: VaultCall, mount: PkiMount) {
  return { ok: true, data: await urlsOf(context, mount) } as const;
}

async function urlsOf({ store, authority }: VaultContext, mount: PkiMount) {
  const none = {
    crl_distribution_points: [],
    delta_crl_distribution_points: [],
    enable_templating: false,
    issuing_certificates: [],
    ocsp_servers: [],
  };
  const { publish } = authority.config;
  if (mount.configured !== undefined)
    return { ...none, ocsp_servers: publish?.ocsp === undefined ? [] : [`${publish.url}/ocsp`] };
  return { ...none, ...(await store.find('vault-pki-config', mount.record.uuid))?.value.urls };
}

async function writeUrls(context: VaultContext, call: VaultCall, mount: PkiMount) {
  const read = readFields(urlFields, call.body, await urlsOf(context, mount));
  if (!read.ok) return read;
  if (mount.configured !== undefined)
    return unsupported('config/urls', '"publish" of ca.yaml decides what certificates name');
  for (const name of ['issuing_certificates', 'crl_distribution_points', 'ocsp_servers']) {
    // RFC 5280 §8: what is fetched while a certificate is verified must not need one to be verified.
    const wrong = get.list(read.values, name).find((each) => !/^http:\/\/[^\s]{1,500}$/.test(each));
    if (wrong !== undefined)
      return badRequest(
        `invalid URL found in "${name}": "${wrong.slice(0, 100)}", expected one of http://`,
      );
  }
  await context.store.changePki(mount.record.uuid, () => ({ urls: read.values }));
  return { ok: true, data: read.values } as const;
}

function withBreak({ raw }: MountIssuer['certificate']): string {
  return encodePem('CERTIFICATE', raw);
}
