import { hash } from 'node:crypto';
import {
  CountersignError,
  type Denial,
  denial,
  equalBytes,
  formatDuration,
} from '@countersign/base';
import { type KeyProof, keyProofText } from '@countersign/wire';
import {
  type CertificateRequest,
  judgeKey,
  type KeyKind,
  parseSpki,
  type SubjectPublicKeyInfo,
  verifySignatureOfKey,
} from '@countersign/x509';

/** How long a signature may be under way, and how much clocks may differ. */
const longestAgeMs = 5 * 60_000;

/** A long-term key whose holder vouches for the key of one request. */
export interface ProofKey {
  readonly ok: true;
  readonly spki: SubjectPublicKeyInfo;
  readonly kind: KeyKind;
  /** SHA-256 of the SubjectPublicKeyInfo, lowercase hex. */
  readonly spkiHash: string;
}

/** Denials: ERR_PROOF_KEY, ERR_PROOF_SIGNATURE. */
export function proveKey(
  proof: KeyProof,
  csr: Pick<CertificateRequest, 'raw' | 'spki'>,
  now: number,
): ProofKey | Denial {
  const read = readKey(proof.key);
  if (!read.ok) return read;
  const { spki } = read;
  if (equalBytes(spki.raw, csr.spki.raw)) {
    return unfit('it is the key of the request, and is to vouch for another');
  }
  if (Math.abs(now - proof.at) > longestAgeMs) {
    const [then, here] = [proof.at, now].map((each) => new Date(each).toISOString());
    const most = `at most ${formatDuration(longestAgeMs)} apart are believed`;
    return refused(`the proof was signed at ${then}, it is ${here} here, ${most}`);
  }
  if (!verifySignatureOfKey(spki, keyProofText(proof, csr.raw), proof.signature)) {
    return refused('the signature is not by the proof key, or not of this request');
  }
  return { ...read, spkiHash: hash('sha256', spki.raw) };
}

function refused(detail: string): Denial {
  return denial('ERR_PROOF_SIGNATURE', detail);
}

function unfit(detail: string): Denial {
  return denial('ERR_PROOF_KEY', `proof key: ${detail}`);
}

function readKey(der: Uint8Array): Omit<ProofKey, 'spkiHash'> | Denial {
  try {
    const spki = parseSpki(der);
    const judged = judgeKey(spki);
    return judged.ok ? { ok: true, spki, kind: judged.kind } : unfit(judged.detail);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return unfit(thrown.message);
  }
}
