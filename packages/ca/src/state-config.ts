import { CountersignError, equalBytes, formatDuration, type Log } from '@countersign/base';
import { type Certificate, formatKeyKind, formatName, keyKindOf } from '@countersign/x509';
import type { AuthorityCertificateConfig, CaConfig } from './ca-config.ts';
import { quotedList } from './dns-name.ts';
import { dnsConstraintsOf, subjectName } from './draft.ts';
import type { StateManifest } from './state-layout.ts';

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
      const found = dnsConstraintsOf(certificate);
      const what = `intermediate "${each.name}"`;
      return [
        ...certificateDifferences(what, each, certificate),
        ...difference(
          `${what} permitted names`,
          quotedList(each.constraints.permitted),
          quotedList(found.permitted),
        ),
        ...difference(
          `${what} excluded names`,
          quotedList(each.constraints.excluded),
          quotedList(found.excluded),
        ),
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

function certificateDifferences(
  what: string,
  config: AuthorityCertificateConfig,
  certificate: Certificate,
): string[] {
  const kind = keyKindOf(certificate.spki);
  const subject = subjectName(config);
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
