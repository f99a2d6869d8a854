import { equalBytes } from '@countersign/base';
import { type Certificate, parseCertificate, revocationReasonOf } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import { whileAskedBy } from '../ledger/asked.ts';
import type { AcmeAuthority, AcmeIssued, AcmeNames } from './acme-context.ts';
import { formatIdentifier, isDevice } from './acme-objects.ts';
import { chainPaths } from './chain-paths.ts';

/** The authority as the ACME edge asks it. `alternates`: certificates of its keys, and above them, by foreign roots. */
export function authorityForAcme(
  authority: Authority,
  alternates: readonly Certificate[] = [],
): AcmeAuthority {
  const { ledger } = authority;
  return {
    otherNames: authority.config.requests.otherNames,
    async issue({ csr, evidence, lifetimeMs, beginsAt, commonName, profile, ...asked }) {
      const { provisioner, caller, replaces } = asked;
      const before = replaces === undefined ? undefined : await ledger.certificate(replaces);
      const issued = await authority.doors.vouch({
        ...{ csr, profile, provisioner, caller, evidence },
        ...writtenOf(asked),
        ttlMs: lifetimeMs,
        beginsAt,
        commonName,
        renews: before && parseCertificate(before.der),
      });
      return issued.ok ? issuedOf(issued.chain) : issued;
    },

    async judgeNames({ profile, provisioner, caller, ...asked }) {
      const who = { provisioner, caller };
      const refused = authority.doors.judgeNames(writtenOf(asked), who, profile);
      if (refused === undefined) return undefined;
      const subject = asked.identifiers.map(formatIdentifier).join(', ');
      const { code, detail } = refused;
      whileAskedBy({ by: caller }, () =>
        ledger.noteRefusal({ asked: 'issue', subject, provisioner, code, detail }),
      );
      return refused;
    },

    async revoke({ serialHex, reason, evidence }) {
      const named = revocationReasonOf(reason) ?? 'unspecified';
      const order = { by: 'serial', value: serialHex, reason: named, waitMs: 0 } as const;
      const answer = await authority.revoke(order, { kind: 'door', name: evidence });
      return answer.ok ? { ok: true } : answer;
    },

    certificate: (serialHex) => ledger.certificate(serialHex),

    async isRevoked(serialHex) {
      return (await ledger.certificateStatus(serialHex)).status === 'revoked';
    },

    async issuedFor(spkiHash, evidence) {
      const found = await ledger.findCertificates({ spkiHash });
      const own = found.find((each) => each.grantedBy === evidence);
      if (own === undefined) return undefined;
      return issuedOf([own.der, ...authority.doors.chainOf(own.issuer)]);
    },

    chains: (chain) => chainsOf(authority, alternates, chain),
  };
}

function writtenOf({ identifiers, spiffeId }: Pick<AcmeNames, 'identifiers' | 'spiffeId'>) {
  const of = (type: 'dns' | 'ip'): string[] =>
    identifiers.flatMap((each) => (each.type === type ? [each.value] : []));
  const devices = identifiers.filter(isDevice).map(formatIdentifier);
  return { spiffeId, dns: of('dns'), ip: of('ip'), devices };
}

function chainsOf(
  authority: Authority,
  alternates: readonly Certificate[],
  usual: readonly Uint8Array[],
): readonly (readonly Uint8Array[])[] {
  const [leaf, ...above] = usual.map((each) => parseCertificate(each));
  if (leaf === undefined) return [];
  const { doors } = authority;
  const now = doors.facts.clock.now();
  const pool = [...above, ...doors.authorities(), ...alternates];
  const standing = pool.filter(({ notAfter }) => notAfter > now);
  const found = chainPaths(leaf, standing, authority.bundle().authorities);
  const others = found.filter((path) => !sameChain(path, above));
  return [usual, ...others.map((path) => [leaf.raw, ...path.map(({ raw }) => raw)])];
}

function sameChain(a: readonly Certificate[], b: readonly Certificate[]): boolean {
  return a.length === b.length && a.every((each, i) => equalBytes(each.raw, b[i]?.raw ?? leafless));
}

const leafless = new Uint8Array();

function issuedOf(chain: readonly Uint8Array[]): AcmeIssued {
  const { serialHex, notBefore, notAfter } = parseCertificate(chain[0] ?? new Uint8Array());
  return { ok: true, serialHex, notBefore, notAfter, chain };
}
