import { CountersignError, denial } from '@countersign/base';
import { formatTpmChallenge, parseJsonBody, parseTpmChallengeRequest } from '@countersign/wire';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** `POST /v1/attest/tpm`: a credential for a TPM, which proves nothing until it comes back opened. Nothing is kept. */
export async function answerTpmChallenge(context: ApiContext, call: ApiCall): Promise<ApiAnswer> {
  const what = 'TPM challenge request';
  const request = parseTpmChallengeRequest(parseJsonBody(call.body, what, call.route.maxBodyBytes));
  const address = call.caller.kind === 'anonymous' ? call.caller.address : 'peer';
  try {
    const made = await context.provisioners.challengeTpm(request, address);
    return made.ok ? { ok: true, body: formatTpmChallenge(made.challenge) } : made;
  } catch (thrown) {
    if (!(thrown instanceof CountersignError) || !thrown.code.startsWith('ERR_TPM_')) throw thrown;
    return denial('ERR_PROVISIONER_DOCUMENT', thrown.message, thrown.fields);
  }
}
