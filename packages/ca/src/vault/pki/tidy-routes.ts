import type { PkiMount } from '../mounts.ts';
import type { VaultAnswer, VaultRoute } from '../vault-call.ts';
import { field } from '../vault-fields.ts';

const tidyFields = {
  tidy_cert_store: field.bool(false, 'Certificates that ended.'),
  tidy_revoked_certs: field.bool(false, 'Revoked certificates that ended.'),
  safety_buffer: field.duration(259_200, 'How long ago they must have ended.'),
} as const;

const itself =
  'What ended leaves the daily tables by itself, as "ledger.retention" of ca.yaml says; nothing is deleted by this call.';

/** Of a mount: clearing up, which the ledger does without being asked. */
export const tidyRoutes: readonly VaultRoute<PkiMount>[] = [
  { path: 'tidy', help: itself, fields: tidyFields, on: { update: tidy } },
  { path: 'tidy-cancel', help: 'There is nothing to cancel.', on: { update: status } },
  { path: 'tidy-status', help: 'How far clearing up is.', on: { read: status } },
];

function tidy(): VaultAnswer {
  return { ok: true, status: 202, data: null, warnings: [itself] };
}

function status(): VaultAnswer {
  const data = {
    cert_store_deleted_count: 0,
    error: null,
    message: itself,
    revoked_cert_deleted_count: 0,
    state: 'Finished',
    tidy_cert_store: true,
    tidy_revoked_certs: true,
    time_finished: null,
    time_started: null,
  };
  return { ok: true, data };
}
