import type { Clock } from '@countersign/base';
import type { IssueExplanation } from '@countersign/wire';
import type { KeyKind } from '@countersign/x509';
import type { CaConfig } from '../ca-config.ts';
import {
  countNames,
  namesOf,
  parseNames,
  sortNames,
  type WrittenNames,
} from '../certificate-names.ts';
import type { DecidingIssuer } from '../decide-issue.ts';
import { linksOf } from '../hierarchy-config.ts';
import { readRequest } from '../issue.ts';
import type { StateCertificates } from '../state-config.ts';
import { explainPolicy, explanationOf } from './explain-issue.ts';

export interface PolicyTrial extends WrittenNames {
  readonly config: CaConfig;
  /** Of a data directory: how long its authorities last. Default: as if they began now. */
  readonly certificates?: StateCertificates | undefined;
  /** PKCS #10, DER: its names where none are given, its key, and what it asks for beside. */
  readonly csr?: Uint8Array | undefined;
  /** Of the key, where there is no request. */
  readonly kind?: KeyKind | undefined;
  /** Who vouched first. Default: operator. */
  readonly provisioner?: string | undefined;
  /** `operator`, `token`, or a SPIFFE ID. Default: operator. */
  readonly caller?: string | undefined;
  readonly profile?: string | undefined;
  readonly issuer?: string | undefined;
  readonly ttlMs?: number | undefined;
  readonly clock: Clock;
}

/**
 * What the policy of a configuration would answer, with every reason. No authority is needed; lists of keys and the
 * ledger are not asked.
 */
export function tryPolicy(trial: PolicyTrial): IssueExplanation {
  const { config, profile, issuer, ttlMs, kind } = trial;
  const at = trial.clock.now();
  const read = trial.csr === undefined ? undefined : readRequest(trial.csr);
  if (read?.ok === false) return explanationOf([], [read], undefined);
  // Names that are none are told each, and the others judged all the same.
  const { malformed, rest } = sortNames(trial);
  const written = parseNames(malformed.length > 0 ? rest : trial);
  const isNamed =
    !written.ok || malformed.length > 0 || countNames(written.names) > 0 || read === undefined;
  const named = isNamed ? written : namesOf(read.csr.subjectAltNames);
  if (!named.ok) return explanationOf([], [...malformed, named], undefined);
  if (malformed.length > 0 && countNames(named.names) === 0) {
    return explanationOf([], malformed, undefined);
  }
  const requester = {
    provisioner: trial.provisioner ?? 'operator',
    caller: trial.caller ?? 'operator',
  };
  const question = { at, names: named.names, requester, profile, issuer, ttlMs, kind };
  return explainPolicy({ ...question, csr: read?.csr, malformed }, config, issuersOf(trial, at));
}

function issuersOf({ config, certificates }: PolicyTrial, at: number): DecidingIssuer[] {
  const { intermediates } = config;
  return intermediates.map(({ name, validityMs, policies, signsServices, profile }) => ({
    name,
    links: linksOf(name, intermediates),
    ...spanOf(name, validityMs),
    policies,
    signsServices,
    profile,
  }));

  /** In which the whole chain is valid. */
  function spanOf(name: string, validityMs: number): { notBefore: number; notAfter: number } {
    if (certificates === undefined) return { notBefore: at, notAfter: at + validityMs };
    const chain = [certificates.root];
    for (let next: string | undefined = name; next !== undefined; ) {
      const certificate = certificates.intermediates.get(next);
      if (certificate !== undefined) chain.push(certificate);
      const issuer: string | undefined = intermediates.find((each) => each.name === next)?.issuer;
      next = issuer;
    }
    return {
      notBefore: Math.max(...chain.map((each) => each.notBefore)),
      notAfter: Math.min(...chain.map((each) => each.notAfter)),
    };
  }
}
