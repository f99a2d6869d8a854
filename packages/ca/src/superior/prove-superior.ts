import { CountersignError, equalBytes, toHex } from '@countersign/base';
import { type Certificate, fingerprintOf, formatName, validatePath } from '@countersign/x509';

export interface SuperiorExpectations {
  /** Whose key and name it is to be: the root that signs now. */
  readonly root: Certificate;
  readonly pathLen: number;
  /** Of the order; undefined where what was kept is looked at again. */
  readonly notAfter: number | undefined;
  readonly roots: readonly Certificate[];
  /** Of the other authority, for messages. */
  readonly title: string;
  readonly at: number;
}

/** What another authority made of our root's key. */
export interface Superior {
  /** Our root's key as it certified it, then what stands above, without its root. */
  readonly behind: readonly [Certificate, ...Certificate[]];
  /** Its root. */
  readonly anchor: Certificate;
}

/** What another authority may make shorter, and clocks and rounding longer. */
const toleranceMs = 24 * 3_600_000;
const shortestMs = 60_000;

/**
 * The certificates that go behind our chains, for whoever trusts another authority's root alone: exactly what was asked for,
 * and a path to that root.
 *
 * @throws CountersignError ERR_SUPERIOR_ANSWER with both sides, ERR_SUPERIOR_ROOT
 */
export function proveSuperior(
  chain: readonly Certificate[],
  expected: SuperiorExpectations,
): Superior {
  const { root, pathLen, title, roots, at } = expected;
  const [own, ...above] = chain;
  if (own === undefined) throw differs(title, 'certificates', 'none', 'one');
  const same = (what: string, found: string, wanted: string) => {
    if (found !== wanted) throw differs(title, what, found, wanted);
  };
  // 1. the key, and who has it
  const isOurKey = equalBytes(own.spki.raw, root.spki.raw);
  if (!isOurKey) throw differs(title, 'a key', 'another one', "that of this authority's root");
  same('subject', formatName(own.subject), formatName(root.subject));
  // RFC 5280 §4.2.1.1: what our root signed names its key so, and verifiers find a path by that.
  same('subjectKeyIdentifier', keyIdText(own), keyIdText(root));
  // 2. what it may do: all of what is needed
  same(
    'basicConstraints',
    constraintText(own.basicConstraints),
    constraintText({ ca: true, pathLen }),
  );
  const usages = [...(own.keyUsage ?? [])];
  for (const needed of ['keyCertSign', 'cRLSign'] as const) {
    if (usages.includes(needed)) continue;
    throw differs(title, 'keyUsage', usages.join(', ') || 'none', 'keyCertSign and cRLSign');
  }
  // 3. and nothing that was not asked for: what it forbids would end in the chains of services
  const limits = [
    ['nameConstraints', own.nameConstraints],
    ['policyConstraints', own.policyConstraints],
    ['extKeyUsage', own.extKeyUsage],
  ] as const;
  for (const [what, found] of limits) {
    if (found !== undefined) throw differs(title, what, 'some', 'none');
  }
  // X509-SVID §3.1: a signing certificate names a trust domain at the most, and nobody's was asked for.
  const uris = own.subjectAltNames.length;
  if (uris > 0) throw differs(title, 'subjectAltName', `${uris} names`, 'none');
  // 4. as long as was asked for, or shorter
  const { notAfter } = expected;
  if (notAfter !== undefined && own.notAfter > notAfter + toleranceMs) {
    throw differs(title, 'notAfter', time(own.notAfter), `${time(notAfter)} at the latest`);
  }
  if (own.notAfter < at + shortestMs) {
    throw differs(title, 'notAfter', time(own.notAfter), `after ${time(at)}`);
  }
  // 5. a path to the root that is trusted
  const path = validatePath({ leaf: own, intermediates: above, anchors: roots, at });
  if (!path.ok) {
    const known = roots.map(fingerprintOf).join(', ');
    const message = `${title}: its certificate for us does not lead to a trusted root, which are ${known}: ${path.detail}`;
    throw new CountersignError('ERR_SUPERIOR_ROOT', message, { fields: { ...path.fields } });
  }
  const [, ...up] = path.chain;
  const anchor = up.at(-1) ?? own;
  return { behind: [own, ...up.slice(0, -1)], anchor };
}

function keyIdText({ subjectKeyId }: Certificate): string {
  return subjectKeyId === undefined ? 'none' : toHex(subjectKeyId);
}

function constraintText(
  constraints: { readonly ca: boolean; readonly pathLen?: number | undefined } | undefined,
): string {
  if (constraints === undefined) return 'none';
  const { ca, pathLen } = constraints;
  return `CA:${ca}, path length ${pathLen ?? 'without a bound'}`;
}

function differs(title: string, what: string, found: string, wanted: string): CountersignError {
  const message = `${title} answered ${what} "${found}", asked for was "${wanted}"`;
  return new CountersignError('ERR_SUPERIOR_ANSWER', message, { fields: { what, found, wanted } });
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
