import { type Clock, CountersignError, equalBytes, type Log, messageOf } from '@countersign/base';
import type { StatusFinding } from '@countersign/wire';
import { type Certificate, fingerprintOf } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { heldLists } from '../publish/imported-list.ts';
import type { PublishingIssuer } from '../publish/publishing-issuer.ts';
import { configNameOf } from '../rotation/rotation-document.ts';

/** Certificates that the authority issues under now, and whose lists may name them. */
export interface RevokedQuestion {
  readonly live: readonly { readonly name: string; readonly certificate: Certificate }[];
  readonly issuers: readonly PublishingIssuer[];
  readonly ledger: Pick<Ledger, 'document' | 'certificateStatus'>;
}

/**
 * The certificates of the authority's own that are revoked, by a list of an issuer whose key is elsewhere or by the
 * ledger: relying parties that check refuse everything issued under them.
 */
export async function revokedAuthorities(question: RevokedQuestion): Promise<StatusFinding[]> {
  const { live, issuers, ledger } = question;
  const lists = await heldLists(issuers, ledger);
  const findings: StatusFinding[] = [];
  for (const { name, certificate } of live) {
    const { serialHex } = certificate;
    const list = lists.find(
      ({ crl }) => equalBytes(crl.issuer.raw, certificate.issuer.raw) && crl.entries.has(serialHex),
    );
    const status = await ledger.certificateStatus(serialHex);
    const reason =
      list?.crl.entries.get(serialHex)?.reason ??
      (status.status === 'revoked' ? status.revocation.reason : 'unspecified');
    if (list === undefined && status.status !== 'revoked') continue;
    const way = `countersign root prepare --intermediate ${configNameOf(name)} gives it a new key`;
    const by = list === undefined ? 'the ledger' : `list ${list.crl.crlNumber} of "${list.issuer}"`;
    const what = `certificate of "${name}", serial ${serialHex}, is revoked by ${by} (${reason})`;
    const detail = `${what}: what is issued under it is refused; ${way}`;
    findings.push({ about: 'certificates', detail });
  }
  return findings;
}

/** Of an authority that is open: its keys in force. */
export function revokedOf(authority: Authority): Promise<StatusFinding[]> {
  return revokedAuthorities(questionOf(authority));
}

export function questionOf(authority: Authority): RevokedQuestion {
  const inForce = new Set(authority.intermediates().map(({ fingerprint }) => fingerprint));
  const issuers = authority.publishers();
  const live = issuers.filter(({ certificate }) => inForce.has(fingerprintOf(certificate)));
  return { live, issuers, ledger: authority.ledger };
}

/**
 * Keeps at hand what {@link revokedOf} says, for health checks, and what was changed behind the authority of what it shares
 * with others.
 */
export interface RevokedWatch {
  finding(): string | undefined;
  /** Asks now; never rejects. */
  look(): Promise<void>;
  stop(): void;
}

/** Another process over the ledger may have imported a list. */
const lookEveryMs = 10_000;

export function watchRevoked(parts: {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
}): RevokedWatch {
  const { authority, clock, log } = parts;
  const ending = new AbortController();
  const { signal } = ending;
  let found: string | undefined;
  void watch();
  return { finding: () => found, look, stop: () => ending.abort() };

  async function look(): Promise<void> {
    try {
      await authority.ledger.proveDocuments();
      const [first] = await revokedOf(authority);
      tell(first?.detail);
    } catch (thrown) {
      const isTampered =
        thrown instanceof CountersignError && thrown.code === 'ERR_LEDGER_TAMPERED';
      if (isTampered) tell(thrown.message);
      // A ledger that is away says so itself.
      else if (!signal.aborted) log.debug({ error: messageOf(thrown) }, 'own revocation not read');
    }
  }

  function tell(detail: string | undefined): void {
    if (detail !== undefined && detail !== found) log.error({}, detail);
    found = detail;
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      await look();
      await clock.sleep(lookEveryMs, { signal, ref: false }).catch(() => {});
    }
  }
}
