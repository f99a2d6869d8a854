import { CountersignError, toBase64 } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { Draft } from '../../draft.ts';
import type { SigningPair } from '../../issuer.ts';
import type { PkiMount } from '../mounts.ts';
import type { VaultCall } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import type { IssuerRecord } from '../vault-objects.ts';
import { badRequest, type VaultRefusal } from '../vault-refusal.ts';
import { creating } from '../vault-store.ts';
import { idOf, issuerKey } from './mount-issuers.ts';

/** By the one flow of authorities; a draft that breaks a rule is the caller's, who asked for it. */
export async function certifyFor(
  { authority }: VaultContext,
  call: VaultCall,
  mount: PkiMount,
  {
    draft,
    issuer,
  }: {
    readonly draft: Draft;
    readonly issuer: Pick<SigningPair, 'signer'> & { readonly ledgerName: string };
  },
): Promise<Certificate | VaultRefusal> {
  try {
    return await authority.doors.certify(draft, issuer, vouchedBy(call, mount));
  } catch (thrown) {
    if (thrown instanceof CountersignError && thrown.code === 'ERR_LINT') {
      return badRequest(thrown.message);
    }
    throw thrown;
  }
}

function vouchedBy(call: VaultCall, mount: PkiMount) {
  const { token } = call.caller ?? {};
  return {
    provisioner: mount.provisioner,
    caller: `vault:${token?.who ?? ''}`,
    evidence: `vault ${call.path} by token ${token?.accessor ?? ''}`,
  };
}

/** No configured name has a "~". */
export function ledgerNameFor(keyId: string): string {
  return `vault~${keyId.slice(0, 8)}`;
}

export async function keepIssuer(
  { store, clock }: VaultContext,
  { record: { uuid } }: PkiMount,
  made: {
    readonly certificate: Certificate;
    readonly keyId: string;
    readonly ledgerName: string;
    readonly name: string;
  },
): Promise<IssuerRecord> {
  const { certificate, keyId, ledgerName, name } = made;
  const record: IssuerRecord = {
    ...{ id: idOf(certificate), name, keyId, ledgerName, createdAt: clock.now() },
    certificate: toBase64(certificate.raw),
  };
  await store.change(creating('vault-issuer', issuerKey(uuid, record.id), record, { owner: uuid }));
  await store.changePki(uuid, ({ defaultIssuer }) =>
    defaultIssuer === '' && keyId !== '' ? { defaultIssuer: record.id } : undefined,
  );
  return record;
}

/** What an operator may have forgotten. */
export async function withoutUrls(
  { store }: VaultContext,
  { record }: PkiMount,
): Promise<string[]> {
  const settings = await store.find('vault-pki-config', record.uuid);
  const isSaid = Object.values(settings?.value.urls ?? {}).some(
    (each) => Array.isArray(each) && each.length > 0,
  );
  if (isSaid) return [];
  return [
    'the mount has no config/urls: its certificates will not say where their issuer and its list are',
  ];
}
