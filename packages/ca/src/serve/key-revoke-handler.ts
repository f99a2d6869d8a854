import { hash } from 'node:crypto';
import { type Denial, denial, formatDuration } from '@countersign/base';
import {
  formatRevokeResponse,
  type KeyRevokeRequest,
  keyRevokeText,
  parseJsonBody,
  parseKeyRevokeRequest,
} from '@countersign/wire';
import { parseCertificate, verifySignatureOfKey } from '@countersign/x509';
import type { RevokeOrder } from '../revoke.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** How long a signed statement may be under way, and how much clocks may differ. */
const longestAgeMs = 5 * 60_000;

/**
 * `POST /v1/revoke/by-key`: the authority's own flow, for whoever proves to hold the private key. A statement that is sent
 * again revokes what is revoked already. Wrong signatures are counted like wrong tokens.
 */
export async function answerKeyRevoke(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
  const { authority, guesses, leases } = context;
  const address = call.caller.kind === 'anonymous' ? call.caller.address : undefined;
  const wait = address === undefined ? 0 : guesses.waitMs(address);
  if (wait > 0) {
    const detail = `too many wrong signatures from "${address}", the next is looked at in ${wait} ms`;
    return denial('ERR_API_GUESSES', detail, { address, waitMs: wait });
  }
  const request = parseKeyRevokeRequest(
    parseJsonBody(call.body, 'key revoke request', call.route.maxBodyBytes),
  );

  // 1. the key of the certificate as we issued it has signed this, and lately
  const proved = await provedKey(context, request);
  if (!proved.ok) {
    if (address !== undefined) guesses.failed(address);
    return proved;
  }
  const late = wrongWithTime(request.at, context.clock.now());
  if (late !== undefined) return { ...late, proved: true };

  // 2. a key that somebody else may have is revoked as such; for any other reason this certificate
  const { spkiHash } = proved;
  const { serial, reason } = request;
  const meant =
    reason === 'keyCompromise'
      ? ({ by: 'key', value: spkiHash } as const)
      : ({ by: 'serial', value: serial } as const);
  const order: RevokeOrder = { ...meant, reason, waitMs: request.waitMs ?? context.waitMs };
  const holder = { kind: 'key', spkiHash } as const;
  const answer = await authority.revoke(order, holder, { leases, signal: call.left() });
  if (!answer.ok) return { ...answer, proved: true };
  const { ok: _, gateways, ...report } = answer;
  // Which gateways there are is not for everybody who had a certificate once.
  const unnamed = gateways.map((gateway, i) => ({
    ...gateway,
    id: `gateway-${i + 1}`,
    spiffeId: '',
  }));
  return { ok: true, body: formatRevokeResponse({ ...report, gateways: unnamed }) };
}

async function provedKey(
  { authority }: ApiContext,
  request: KeyRevokeRequest,
): Promise<{ readonly ok: true; readonly spkiHash: string } | Denial> {
  const { serial, certificate, signature } = request;
  const refused = (why: string): Denial =>
    denial('ERR_REVOKE_PROOF', `revoke certificate "${serial}" by its key: ${why}`, { serial });
  const octets = serial.length % 2 === 0 ? serial : `0${serial}`;
  const known = await authority.ledger.certificate(octets);
  if (known === undefined || hash('sha256', known.der) !== certificate) {
    return refused(`no certificate with that serial and SHA-256 "${certificate}" was issued here`);
  }
  const { spki } = parseCertificate(known.der);
  const isSigned = verifySignatureOfKey(spki, keyRevokeText(request), signature);
  return isSigned
    ? { ok: true, spkiHash: known.spkiHash }
    : refused('the signature is not by its key, or not of these words');
}

function wrongWithTime(at: number, now: number): Denial | undefined {
  if (Math.abs(now - at) <= longestAgeMs) return undefined;
  const [then, here] = [at, now].map((each) => new Date(each).toISOString());
  const sides = `was signed at ${then}, it is ${here} here`;
  const most = `at most ${formatDuration(longestAgeMs)} apart are believed`;
  return denial('ERR_REVOKE_PROOF', `the statement ${sides}, ${most}`, { at, now });
}
