import { alternativeNameForms } from './alternative-name-forms.ts';
import { alternativeNames } from './alternative-names.ts';
import { authorityHasSubject } from './authority-has-subject.ts';
import { authorityKeyId } from './authority-key-id.ts';
import { basicConstraintsAuthority } from './basic-constraints-authority.ts';
import { extendedKeyUsage } from './extended-key-usage.ts';
import { issuerName } from './issuer-name.ts';
import { key } from './key.ts';
import { keyAsAsked } from './key-as-asked.ts';
import { keyUsageAuthority } from './key-usage-authority.ts';
import { keyUsageCritical } from './key-usage-critical.ts';
import { keyUsageOfKind } from './key-usage-of-kind.ts';
import { keyUsageService } from './key-usage-service.ts';
import type { LintRule } from './lint-rule.ts';
import { nameConstraints } from './name-constraints.ts';
import { nameConstraintsCritical } from './name-constraints-critical.ts';
import { noUnknownCritical } from './no-unknown-critical.ts';
import { pathLengthShrinks } from './path-length-shrinks.ts';
import { policiesWithinIssuer } from './policies-within-issuer.ts';
import { publicationNotCritical } from './publication-not-critical.ts';
import { publicationOverPlainHttp } from './publication-over-plain-http.ts';
import { responderIsNoAuthority } from './responder-is-no-authority.ts';
import { responderNotChecked } from './responder-not-checked.ts';
import { responderPurpose } from './responder-purpose.ts';
import { selfIssuedRoot } from './self-issued-root.ts';
import { serial } from './serial.ts';
import { serviceIsNoAuthority } from './service-is-no-authority.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';
import { subjectKeyId } from './subject-key-id.ts';
import { subjectWithinConstraints } from './subject-within-constraints.ts';
import { validityOrder } from './validity-order.ts';
import { validityWithinIssuer } from './validity-within-issuer.ts';
import { version } from './version.ts';

/** Our own profile of RFC 5280, RFC 6960, RFC 8813 and X509-SVID: a rule a file. */
export const lintRules: readonly LintRule[] = [
  version,
  serial,
  signatureAlgorithm,
  validityOrder,
  validityWithinIssuer,
  issuerName,
  selfIssuedRoot,
  authorityHasSubject,
  key,
  keyAsAsked,
  noUnknownCritical,
  basicConstraintsAuthority,
  pathLengthShrinks,
  serviceIsNoAuthority,
  keyUsageCritical,
  keyUsageAuthority,
  keyUsageService,
  keyUsageOfKind,
  extendedKeyUsage,
  alternativeNames,
  alternativeNameForms,
  nameConstraints,
  nameConstraintsCritical,
  subjectWithinConstraints,
  policiesWithinIssuer,
  subjectKeyId,
  authorityKeyId,
  publicationNotCritical,
  publicationOverPlainHttp,
  responderPurpose,
  responderNotChecked,
  responderIsNoAuthority,
];
