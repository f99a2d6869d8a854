import { systemClock } from '@countersign/base';
import {
  buildCrl,
  type Certificate,
  type Crl,
  encodePem,
  parseCrl,
  type RevocationReason,
} from '@countersign/x509';
import {
  type Mutations,
  type TestCredential,
  type TestIssuer,
  testCredential,
} from './test-certificate.ts';

export interface TestCaOptions extends Mutations {
  /** Common name of the root; `test root` unless given. */
  readonly name?: string;
  /** Middle of the default validity (one hour before to one day after); the machine's time unless given. */
  readonly at?: number;
}

export interface TestCrlOptions {
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
  readonly number?: bigint;
  readonly reason?: RevocationReason;
}

/** An authority in memory whose certificates are right unless a test asks for a mutation. */
export interface TestCa extends TestCredential {
  /** The trust anchor. */
  readonly root: Certificate;
  readonly rootPem: string;
  /** A CA below this one. */
  intermediate(mutations?: Mutations): TestCa;
  /** An end-entity certificate for both sides of TLS. */
  leaf(mutations?: Mutations): TestCredential;
  /** An X.509-SVID: one URI name, no subject. */
  svid(id: string, mutations?: Mutations): TestCredential;
  /** A list of this CA that revokes these certificates. */
  crl(revoked: readonly Certificate[], options?: TestCrlOptions): Promise<Crl>;
}

/** A self-signed root. */
export function testCa(options: TestCaOptions = {}): TestCa {
  const { name = 'test root', at = systemClock.now(), ...mutations } = options;
  const credential = testCredential(undefined, caDefaults(name), mutations, at);
  return authority(credential, credential.certificate, at);
}

function authority(credential: TestCredential, root: Certificate, at: number): TestCa {
  const issuer: TestIssuer = credential;
  let count = 0;
  return {
    ...credential,
    root,
    rootPem: encodePem('CERTIFICATE', root.raw),
    intermediate(mutations = {}) {
      count += 1;
      const defaults = caDefaults(`test intermediate ${count}`);
      return authority(testCredential(issuer, defaults, mutations, at), root, at);
    },
    leaf(mutations = {}) {
      return testCredential(issuer, { ...leafDefaults, ...leafSubject(mutations) }, mutations, at);
    },
    svid(id, mutations = {}) {
      return testCredential(issuer, { ...leafDefaults, uri: [id] }, caToo(mutations), at);
    },
    async crl(revoked, crlOptions = {}) {
      const { reason = 'keyCompromise' } = crlOptions;
      const bytes = await buildCrl({
        signer: credential.signer,
        issuer: credential.certificate.subject,
        authorityKeyId: credential.certificate.subjectKeyId,
        thisUpdate: crlOptions.thisUpdate ?? at - 60_000,
        nextUpdate: crlOptions.nextUpdate ?? at + 3_600_000,
        crlNumber: crlOptions.number ?? 1n,
        entries: revoked.map(({ serialHex }) => ({ serialHex, date: at - 60_000, reason })),
      });
      return parseCrl(bytes);
    },
  };
}

function caDefaults(commonName: string): Mutations {
  return {
    subject: [{ type: 'CN', value: commonName }],
    isCa: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
  };
}

const leafDefaults: Mutations = {
  keyUsage: ['digitalSignature'],
  extKeyUsage: ['serverAuth', 'clientAuth'],
};

/** A leaf without a name of its own is called after its first one. */
function leafSubject({ dns = [] }: Mutations): Mutations {
  return { subject: [{ type: 'CN', value: dns[0] ?? 'test leaf' }] };
}

/** `isCa` alone asks for a whole signing certificate, as a wrongly issued one would be. */
function caToo(mutations: Mutations): Mutations {
  if (mutations.isCa !== true) return mutations;
  return { keyUsage: ['keyCertSign', 'cRLSign'], extKeyUsage: null, ...mutations };
}
