import { denial } from '@countersign/base';
import type { Crl } from '../crl.ts';
import { findExtension } from '../extension.ts';
import { oidName, oids } from '../oids.ts';
import { nameText, timeText } from './certificate-text.ts';
import { signatureAlgorithmFinding } from './key-rules.ts';
import type { PathRefused } from './path-request.ts';

export type CrlCode = 'ERR_CRL_SIGNATURE' | 'ERR_CRL_ISSUER' | CrlFindingCode;
type CrlFindingCode =
  | 'ERR_CRL_SIGNATURE'
  | 'ERR_CRL_STALE'
  | 'ERR_CRL_NUMBER'
  | 'ERR_CRL_UNSUPPORTED';

/** The code, and what continues the sentence `revocation list of "CN=…" …`. */
type CrlFinding = readonly [code: CrlFindingCode, detail: string];

/** What is wrong with a list, complete or delta, by itself; its dates apart. */
export function checkCrl(crl: Crl): PathRefused | undefined {
  for (const rule of [checkExtensions, checkNumber, checkAlgorithm]) {
    const finding = rule(crl);
    if (finding !== undefined) return crlRefusal(crl, ...finding);
  }
  return undefined;
}

/** Whether the list speaks of the time `at`. `isUpdated`: a fresh delta takes up where it ends. */
export function checkCrlDates(
  crl: Crl,
  at: number,
  { isUpdated }: { readonly isUpdated: boolean },
): PathRefused | undefined {
  const { thisUpdate, nextUpdate } = crl;
  const now = Math.floor(at / 1000) * 1000;
  if (!(now >= thisUpdate)) {
    const detail = `is from the future: thisUpdate ${timeText(thisUpdate)}, now ${timeText(now)}`;
    return crlRefusal(crl, 'ERR_CRL_STALE', detail);
  }
  // RFC 5280 §5.1.2.5: conforming issuers say when the next list is due; without that, nothing is
  // known to be fresh
  if (nextUpdate === undefined)
    return crlRefusal(crl, 'ERR_CRL_STALE', 'does not say when its next update is due');
  if (now <= nextUpdate || isUpdated) return undefined;
  const detail = `is stale: nextUpdate ${timeText(nextUpdate)}, now ${timeText(now)}`;
  return crlRefusal(crl, 'ERR_CRL_STALE', detail);
}

export function crlRefusal(crl: Crl, code: CrlCode, detail: string): PathRefused {
  const issuer = nameText(crl.issuer);
  return denial(code, `revocation list of "${issuer}" ${detail}`, { issuer });
}

// RFC 5280 §5.2: a list with a critical extension that cannot be processed must not be used
function checkExtensions({ unknownCriticalExtensions: [oid] }: Crl): CrlFinding | undefined {
  if (oid === undefined) return undefined;
  const detail = `has the critical extension "${oidName(oid)}", which is not known here`;
  return ['ERR_CRL_UNSUPPORTED', detail];
}

// RFC 5280 §5.2.3: every list has a number, and never as a critical extension
function checkNumber(crl: Crl): CrlFinding | undefined {
  if (crl.crlNumber === undefined) return ['ERR_CRL_NUMBER', 'has no CRL number'];
  return findExtension(crl.extensions, oids.crlNumber)?.critical === true
    ? ['ERR_CRL_NUMBER', 'has its CRL number as a critical extension, it must not be']
    : undefined;
}

function checkAlgorithm({ signatureAlgorithm }: Crl): CrlFinding | undefined {
  const weak = signatureAlgorithmFinding(signatureAlgorithm);
  return weak === undefined ? undefined : ['ERR_CRL_SIGNATURE', weak.detail];
}
