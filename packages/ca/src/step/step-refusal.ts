import type { Denial } from '@countersign/base';
import { jsonReply, type StepReply } from './step-http.ts';

/** A refusal in step-ca's words. A stranger gets a code and an id; the log has the rest. */
export function refusalReply(refused: Denial, id: string, isTold: boolean): StepReply {
  const { code, detail, fields } = refused;
  const message = isTold ? `${detail} (${code})` : `${code}, id ${id}`;
  const wait = fields?.retryAfterS;
  const headers = wait === undefined ? {} : { 'Retry-After': String(wait) };
  const status = statusOf(code);
  return jsonReply(status, { status, message }, headers);
}

const statuses: readonly (readonly [prefix: string, status: number])[] = [
  ['ERR_STEP_PATH', 404],
  ['ERR_STEP_UNSUPPORTED', 501],
  ['ERR_STEP_', 400],
  ['ERR_PROVISIONER_RATE', 429],
  ['ERR_API_GUESSES', 429],
  ['ERR_API_BUSY', 503],
  ['ERR_PROVISIONER_', 401],
  ['ERR_JWT_', 401],
  ['ERR_TOKEN_', 401],
  ['ERR_API_CERTIFICATE_', 401],
  ['ERR_DER_', 400],
  ['ERR_CSR_', 400],
  ['ERR_ROTATION_', 503],
];

function statusOf(code: string): number {
  return statuses.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 403;
}
