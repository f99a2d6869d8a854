import type { CaConfig } from './ca-config.ts';

/** What stands for as long as an authority is open: its name in ca.yaml, and what to compare. */
export function fixedParts(config: CaConfig): [string, string][] {
  const {
    trustDomain,
    root,
    issuedBy,
    intermediates,
    api,
    publish,
    jwt,
    acme,
    vault,
    est,
    stepPaths,
    ledger,
  } = config;
  const { address, port, dns, ip } = api;
  // Which profile is an intermediate's default is policy; all else of it stands in its certificate.
  const certified = intermediates.map(({ profile: _, ...each }) => each);
  return [
    ['spiffe_trust_domain', trustDomain],
    ['ca.root', JSON.stringify(root)],
    ['ca.issued_by', JSON.stringify(issuedBy)],
    ['ca.intermediate', JSON.stringify(certified)],
    ['api.address, api.port, api.names', JSON.stringify({ address, port, dns, ip })],
    ['publish', JSON.stringify(publish)],
    ['jwt', JSON.stringify(jwt)],
    ['acme', JSON.stringify(acme)],
    ['vault', JSON.stringify(vault)],
    ['est', JSON.stringify(est)],
    ['step', JSON.stringify(stepPaths)],
    ['ledger', JSON.stringify(ledger)],
  ];
}
