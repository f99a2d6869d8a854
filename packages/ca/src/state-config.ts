import { CountersignError, equalBytes, formatDuration, type Log } from '@countersign/base';
import { type Certificate, formatKeyKind, formatName, keyKindOf } from '@countersign/x509';
import type { AuthorityCertificateConfig, CaConfig } from './ca-config.ts';
import { constraintsOf, formatConstraints } from './constraints/name-constraints.ts';
import { quotedList } from './dns-name.ts';
import type { StateManifest } from './state-layout.ts';
import { subjectName } from './subject-name.ts';

export interface StateCertificates {
  readonly root: Certificate;
  readonly intermediates: ReadonlyMap<string, Certificate>;
}

/**
 * Whether the hierarchy that the configuration describes is the one that the directory holds. It is made by init once:
 * a changed description of it would otherwise do nothing, silently. The policy for services may change at will.
 *
 * @throws CountersignError ERR_STATE_CONFIG with every difference, both sides
 */
export function checkStateConfig(
  config: CaConfig,
  manifest: StateManifest,
  state: StateCertificates,
  log: Log,
): void {
  const differences = [
    ...difference('trust domain', config.trustDomain, manifest.trustDomain),
    ...namesDifference(config, manifest),
    ...certificateDifferences('root', config.root, state.root),
    ...config.intermediates.flatMap((each) => {
      const certificate = state.intermediates.get(each.name);
      if (certificate === undefined) return [];
      const found = constraintsOf(certificate);
      const what = `intermediate "${each.name}"`;
      return [
        ...certificateDifferences(what, each, certificate),
        ...difference(
          `${what} permitted names`,
          formatConstraints(each.constraints, 'permitted'),
          formatConstraints(found, 'permitted'),
        ),
        ...difference(
          `${what} excluded names`,
          formatConstraints(each.constraints, 'excluded'),
          formatConstraints(found, 'excluded'),
        ),
        ...difference(
          `${what} policies`,
          quotedList(each.policies),
          quotedList((certificate.certificatePolicies ?? []).map(({ oid }) => oid)),
        ),
        ...difference(`${what} issuer`, each.issuer, issuerOf(certificate, state)),
      ];
    }),
  ];
  if (differences.length > 0) {
    const message = `"${config.file}" and the state differ: ${differences.join('; ')}`;
    throw new CountersignError('ERR_STATE_CONFIG', message, { fields: { differences } });
  }
  tellValidity('root', config.root, state.root, log);
  for (const each of config.intermediates) {
    const certificate = state.intermediates.get(each.name);
    if (certificate !== undefined) tellValidity(each.name, each, certificate, log);
  }
}

function namesDifference(config: CaConfig, manifest: StateManifest): string[] {
  const wanted = config.intermediates.map((each) => each.name).toSorted();
  return difference(
    'intermediates',
    quotedList(wanted),
    quotedList(manifest.intermediates.toSorted()),
  );
}

function issuerOf({ issuer }: Certificate, { root, intermediates }: StateCertificates): string {
  if (equalBytes(issuer.raw, root.subject.raw)) return 'root';
  const found = [...intermediates].find(([, each]) => equalBytes(each.subject.raw, issuer.raw));
  return found?.[0] ?? formatName(issuer);
}

function certificateDifferences(
  what: string,
  config: AuthorityCertificateConfig,
  certificate: Certificate,
): string[] {
  const kind = keyKindOf(certificate.spki);
  const subject = subjectName(config.subject);
  return [
    ...difference(
      `${what} key`,
      formatKeyKind(config.key),
      kind === undefined ? 'unknown' : formatKeyKind(kind),
    ),
    ...difference(
      `${what} pathLenConstraint`,
      String(config.pathLen),
      String(certificate.basicConstraints?.pathLen),
    ),
    ...(equalBytes(subject.raw, certificate.subject.raw)
      ? []
      : difference(`${what} subject`, formatName(subject), formatName(certificate.subject))),
  ];
}

function difference(what: string, configured: string, found: string): string[] {
  if (configured === found) return [];
  return [`${what} is configured as ${configured || 'none'}, the state has ${found || 'none'}`];
}

/** No reason to refuse: the certificate is valid as long as it is. */
function tellValidity(
  name: string,
  config: AuthorityCertificateConfig,
  certificate: Certificate,
  log: Log,
): void {
  const lasts = certificate.notAfter - certificate.notBefore;
  const slackMs = 10 * 60_000;
  if (Math.abs(lasts - config.validityMs) <= slackMs) return;
  const configured = formatDuration(config.validityMs);
  const notAfter = new Date(certificate.notAfter).toISOString();
  log.warn(
    { certificate: name, configured, notAfter },
    'validity in the configuration is not that of the certificate, which stays as it is',
  );
}
