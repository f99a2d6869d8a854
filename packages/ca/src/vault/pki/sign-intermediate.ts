import { CountersignError, messageOf, toBase64 } from '@countersign/base';
import {
  attributeOf,
  type CertificateRequest,
  certificateRequestFromPem,
  judgeKey,
  type NameConstraints,
  verifyPossession,
} from '@countersign/x509';
import { parseDnsConstraint } from '../../dns-name.ts';
import { draftIntermediate } from '../../draft.ts';
import { publicationOf } from '../../publish/certificate-publication.ts';
import type { PkiMount } from '../mounts.ts';
import type { VaultAnswer, VaultCall } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { get, ignoredParameters, readFields, type Values } from '../vault-fields.ts';
import { badRequest, refusal, type VaultRefusal } from '../vault-refusal.ts';
import { askedAuthority, authorityConfig, factsOf, rootPathLength } from './asked-authority.ts';
import { certificateAnswer } from './certificate-answer.ts';
import { intermediateFields } from './generate-fields.ts';
import { certifyFor } from './keep-issuer.ts';
import { issuerBy, pemOf } from './mount-issuers.ts';

/** A certificate of an authority below one of the mount's, by the one flow of authorities. */
export async function signIntermediate(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  // 1. What is asked, and whether this mount signs such.
  if (mount.configured?.signsIntermediates === false) {
    const told = `mount "${mount.path}/" signs no intermediates: sign_intermediates is false in ca.yaml`;
    return refusal('ERR_VAULT_DENIED', 403, told);
  }
  const read = readFields(intermediateFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const csr = requestIn(get.text(values, 'csr'));
  if (!csr.ok) return csr;
  const key = judgeKey(csr.csr.spki);
  if (!key.ok) return badRequest(`key of the request: ${key.detail}`);
  if (!verifyPossession(csr.csr))
    return badRequest('the signature of the request is not by its own key');
  if (context.authority.doors.isOwnKey(csr.csr.spki))
    return badRequest('the key of the request is a key of this authority');
  const sent = get.bool(values, 'use_csr_values') ? subjectIn(csr.csr) : {};
  const asked = askedAuthority(context, { ...values, ...sent, key_type: 'ec' }, 'intermediate');
  if (!asked.ok) return asked;
  const constraints = constraintsIn(get.list(values, 'permitted_dns_domains'));
  if (!constraints.ok) return constraints;

  // 2. By whom.
  const ref = call.names.ref ?? get.text(values, 'issuer_ref');
  const issuer = await issuerBy(context, mount, ref);
  if (!('chain' in issuer)) return issuer;
  if (issuer.revokedAt !== undefined) return badRequest('the issuer is revoked, it signs no more');
  const opened = await issuer.open?.();
  if (opened === undefined)
    return badRequest(`the key of issuer "${ref.slice(0, 100)}" is not here`);
  const above = issuer.certificate.basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
  if (above < 1) return badRequest('no authority may be below the issuer: its path length is 0');
  const length = get.number(values, 'max_path_length');
  const pathLen = length < 0 ? Math.min(above, rootPathLength) - 1 : length;
  if (pathLen >= above)
    return badRequest(`"max_path_length" ${pathLen} is not below that of the issuer, ${above}`);

  // 3. Lint, intent, signature, record.
  const config = {
    ...authorityConfig({ ...asked, kind: key.kind }, pathLen),
    ...{
      name: 'vault',
      issuer: opened.name,
      signsServices: true,
      policies: [],
      profile: undefined,
    },
    constraints: constraints.constraints,
  };
  const own = factsOf(context, csr.csr.spki, asked.lifetimeMs);
  const notBefore = Math.max(own.notBefore, issuer.certificate.notBefore);
  if (issuer.certificate.notAfter <= context.clock.now()) return badRequest('the issuer has ended');
  const facts = { ...own, notBefore };
  const authority = { certificate: issuer.certificate, links: opened.links };
  const { publish } = context.authority.config;
  const publication =
    mount.configured === undefined
      ? undefined
      : publicationOf(
          publish,
          { name: opened.ledgerName, certificate: issuer.certificate },
          'authorities',
        );
  const draft = draftIntermediate(config, facts, authority, publication);
  const certificate = await certifyFor(context, call, mount, { draft, issuer: opened });
  if (!('raw' in certificate)) return certificate;

  // 4. As clients read it.
  const answer = certificateAnswer({
    der: certificate.raw,
    above: issuer.chain,
    format: asked.format,
    withoutRoot: false,
  });
  const { not_before: _, ca_chain, ...data } = answer;
  const written = asked.format === 'der' ? toBase64(certificate.raw) : pemOf(certificate);
  const warnings = [...ignoredParameters(read.unknown)];
  if (certificate.notAfter < facts.notAfter)
    warnings.push(
      'The certificate ends with its issuer, which is earlier than what was asked for.',
    );
  context.log.warn(
    { mount: mount.path, serial: certificate.serialHex, by: call.caller?.token.who },
    'vault mount signed an authority',
  );
  return { ok: true, data: { ...data, ca_chain: [written, ...(ca_chain as string[])] }, warnings };
}

function requestIn(
  pem: string,
): { readonly ok: true; readonly csr: CertificateRequest } | VaultRefusal {
  if (pem === '') return badRequest('"csr" is empty');
  try {
    return { ok: true, csr: certificateRequestFromPem(pem) };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return badRequest(
      `certificate request could not be parsed: ${messageOf(thrown).slice(0, 200)}`,
    );
  }
}

function subjectIn({ subject }: CertificateRequest): Values {
  const one = (type: 'O' | 'OU' | 'C') => {
    const value = attributeOf(subject, type);
    return value === undefined ? [] : [value];
  };
  return {
    common_name: attributeOf(subject, 'CN') ?? '',
    organization: one('O'),
    ou: one('OU'),
    country: one('C'),
  };
}

function constraintsIn(
  domains: readonly string[],
): { readonly ok: true; readonly constraints: NameConstraints } | VaultRefusal {
  const permitted: NameConstraints['permitted'][number][] = [];
  for (const written of domains) {
    const read = parseDnsConstraint(written.replace(/^\./, ''));
    if (!read.ok)
      return badRequest(`"permitted_dns_domains": "${written.slice(0, 100)}" ${read.wrong}`);
    permitted.push({ base: { kind: 'dns', value: read.name } });
  }
  return { ok: true, constraints: { permitted, excluded: [] } };
}
