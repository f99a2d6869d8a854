import { createHash } from 'node:crypto';
import type { PeerExpectation } from '../model/cluster-model.ts';
import type { FileOrText, IdentityModel, TrustModel } from '../model/credential-model.ts';
import { textOf } from './compile-envoy-routes.ts';
import type { DataSource } from './envoy-document.ts';
import type { CommonTlsContext } from './envoy-tls-schema.ts';

type Certificate = NonNullable<CommonTlsContext['tls_certificates']>[number];
type Validation = NonNullable<CommonTlsContext['validation_context']>;

/** The certificates and anchors that TLS contexts name; the same files are read once. */
export class EnvoyCredentials {
  readonly identities = new Map<string, IdentityModel>();
  readonly trusts = new Map<string, TrustModel>();

  /** @returns the name of the model's identity */
  identity({
    certificate_chain: chain,
    private_key: key,
    ocsp_staple: staple,
  }: Certificate): string {
    const name = [
      nameOf(chain),
      key.filename,
      ...(staple === undefined ? [] : [staple.filename]),
    ].join(' ');
    this.identities.set(name, {
      name,
      certificate: sourceOf(chain),
      key: { file: key.filename },
      ...(staple !== undefined && { staple: { file: staple.filename } }),
    });
    return name;
  }

  /** @returns the name of the model's trust */
  trust(validation: Validation): string {
    const { trusted_ca: ca = {}, crl, only_verify_leaf_cert_crl: leafAlone = false } = validation;
    const parts = [
      nameOf(ca),
      ...(crl === undefined ? [] : [nameOf(crl), leafAlone ? 'leaf' : 'chain']),
    ];
    const name = parts.join(' ');
    this.trusts.set(name, {
      ...{ name, authorities: sourceOf(ca) },
      ...(crl !== undefined && { crl: sourceOf(crl), crlScope: leafAlone ? 'leaf' : 'chain' }),
    });
    return name;
  }

  expectation({ match_typed_subject_alt_names: names }: Validation): PeerExpectation | undefined {
    if (names === undefined || names.length === 0) return undefined;
    return {
      names: names.map(({ san_type: type, matcher }) => ({
        type: types[type],
        value: textOf(matcher),
      })),
    };
  }
}

const types = { DNS: 'dns', URI: 'uri', EMAIL: 'email', IP_ADDRESS: 'ip' } as const;

function sourceOf({ filename, inline_string: text = '' }: DataSource): FileOrText {
  return filename === undefined ? { text } : { file: filename };
}

function nameOf({ filename, inline_string: text = '' }: DataSource): string {
  if (filename !== undefined) return filename;
  return `inline ${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
}
