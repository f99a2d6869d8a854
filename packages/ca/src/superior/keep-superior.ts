import { readFile } from 'node:fs/promises';
import {
  type Clock,
  CountersignError,
  equalBytes,
  type Log,
  messageOf,
  writeFileDurably,
} from '@countersign/base';
import type { IntermediateSigner } from '@countersign/spiffe';
import {
  attributeOf,
  buildCertificateRequest,
  type Certificate,
  certificatesFromPem,
  encodePem,
  extension,
  fingerprintOf,
} from '@countersign/x509';
import type { Authority } from '../authority.ts';
import { proveSuperior, type Superior } from './prove-superior.ts';

export interface KeepSuperiorOptions {
  readonly authority: Authority;
  readonly signer: IntermediateSigner;
  /** Whom relying parties trust; the roots that the other authority's answer names unless given. */
  readonly roots?: (() => Promise<readonly Certificate[]>) | undefined;
  /** Wished lifetime. */
  readonly validityMs: number;
  /** Where the certificates are kept, so that a start needs nobody. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SuperiorKeeper {
  /** Why whoever trusts the other root alone has no path; undefined while they have. */
  unwell(): string | undefined;
  /** Looks, and orders where something is due. Rejects with why it failed. */
  look(): Promise<void>;
  stop(): Promise<void>;
}

const retryMs = { least: 1000, most: 300_000 } as const;
/** Where an answer has to be carried back: while there is none, and while there is one that holds. */
const carriedMs = { first: 5000, later: 300_000 } as const;
const longestNapMs = 3_600_000;

/**
 * Keeps this authority a subordinate of another one: the key of its root certified there, behind every chain that is issued,
 * and certified again long before that ends. The own root, the bundle and what was issued stay as they are, so that a renewal
 * is no outage, nor is another authority that is away: until it is back, what there is goes on.
 *
 * @throws CountersignError ERR_SUPERIOR_OFFLINE where the root's key is not here
 */
export async function keepSuperior(options: KeepSuperiorOptions): Promise<SuperiorKeeper> {
  const { authority, signer, clock, log } = options;
  const stopping = new AbortController();
  let wake = new AbortController();
  let held = await readKept(options);
  let failure: string | undefined;
  let underWay: Promise<void> | undefined;
  rootSigner(authority);
  if (held !== undefined) authority.standBehind(held.behind);
  const unfollow = authority.onChange(() => {
    if (held !== undefined && isOfRoot(held, authority.root)) return;
    wake.abort();
  });

  function dueAt(): number {
    if (held === undefined || !isOfRoot(held, authority.root)) return 0;
    const [{ notBefore, notAfter }] = held.behind;
    const length = notAfter - notBefore;
    const longestBelow = authority.config.services.maxValidityMs;
    return notAfter - Math.min(length / 2, Math.max(length / 3, longestBelow));
  }

  async function look(): Promise<void> {
    if (clock.now() < dueAt()) return;
    try {
      const fresh = await order(options, stopping.signal);
      const isSame =
        fresh !== undefined &&
        held !== undefined &&
        equalBytes(fresh.behind[0].raw, held.behind[0].raw);
      if (fresh === undefined || isSame) {
        failure = `${signer.title} has not answered yet`;
        return;
      }
      await writeFileDurably(options.file, pemOf(fresh));
      held = fresh;
      failure = undefined;
      authority.standBehind(fresh.behind);
      const [{ serialHex: serial, notAfter }] = fresh.behind;
      log.info({ serial, notAfter, by: signer.title }, 'certified by another authority');
    } catch (thrown) {
      if (!stopping.signal.aborted) failure = messageOf(thrown);
      throw thrown;
    }
  }

  const lookOnce = (): Promise<void> => {
    underWay ??= look().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };

  async function keep(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      wake = new AbortController();
      await lookOnce().then(
        () => {
          failures = 0;
        },
        (thrown: unknown) => {
          failures += 1;
          if (signal.aborted) return;
          const level = failures === 1 ? 'error' : 'debug';
          log[level]({ err: thrown }, `not certified by another authority: ${messageOf(thrown)}`);
        },
      );
      const leftMs = dueAt() - clock.now();
      const carried = held === undefined ? carriedMs.first : carriedMs.later;
      const againMs = failures > 0 ? retryMs.least * 2 ** Math.min(failures, 9) : carried;
      const napMs = leftMs > 0 ? Math.min(leftMs, longestNapMs) : Math.min(againMs, retryMs.most);
      const awake = AbortSignal.any([signal, wake.signal]);
      await clock.sleep(napMs, { signal: awake, ref: false }).catch(() => {});
    }
  }
  const done = keep(stopping.signal);
  return {
    unwell() {
      const end = held?.behind[0].notAfter ?? 0;
      if (clock.now() <= end && held !== undefined && isOfRoot(held, authority.root)) {
        return undefined;
      }
      return `not certified by ${signer.title}: ${failure ?? 'nothing was answered yet'}`;
    },
    look: lookOnce,
    async stop() {
      stopping.abort(new CountersignError('ERR_SUPERIOR_STOPPED', 'the authority was stopped'));
      unfollow();
      await done;
      signer.close?.();
    },
  };
}

/** Request, answer, proof. */
async function order(
  options: KeepSuperiorOptions,
  signal: AbortSignal,
): Promise<Superior | undefined> {
  const { authority, signer, validityMs, clock } = options;
  const { root } = authority;
  const { pathLen } = authority.config.root;
  // 1. by the root's own key, as it names itself
  const csr = await buildCertificateRequest({
    signer: await rootSigner(authority)(),
    subject: root.subject,
    extensions: [
      extension.basicConstraints({ ca: true, pathLen }),
      extension.keyUsage(['keyCertSign', 'cRLSign']),
      ...(root.subjectKeyId === undefined ? [] : [extension.subjectKeyId(root.subjectKeyId)]),
    ],
  });
  // 2. the answer
  const notAfter = Math.floor((clock.now() + validityMs) / 1000) * 1000;
  const commonName = attributeOf(root.subject, 'CN') ?? authority.config.trustDomain;
  const answer = await signer.sign({
    ...{ csr, commonName, pathLen, notAfter, signal, subjectKeyId: root.subjectKeyId },
  });
  if (answer === undefined) return undefined;
  // 3. what was asked for, and a path to the root that counts
  const roots = (await options.roots?.()) ?? answer.roots;
  const { title } = signer;
  if (roots.length === 0) {
    const message = `${title} names no root, and none is configured`;
    throw new CountersignError('ERR_SUPERIOR_ROOT', message);
  }
  return proveSuperior(answer.chain, { root, pathLen, notAfter, roots, title, at: clock.now() });
}

/** What an earlier process was given, where it is still of use. */
async function readKept(options: KeepSuperiorOptions): Promise<Superior | undefined> {
  const { authority, file, clock, log, signer } = options;
  try {
    const all = certificatesFromPem(await readFile(file, 'utf8'));
    const roots = (await options.roots?.()) ?? all.slice(-1);
    const { root, config } = authority;
    const facts = { root, pathLen: config.root.pathLen, notAfter: undefined, roots };
    return proveSuperior(all.slice(0, -1), { ...facts, title: signer.title, at: clock.now() });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    log.warn({ file, reason: messageOf(thrown) }, 'what was certified before is of no use now');
    return undefined;
  }
}

function isOfRoot({ behind: [own] }: Superior, root: Certificate): boolean {
  return equalBytes(own.spki.raw, root.spki.raw);
}

/** @throws CountersignError ERR_SUPERIOR_OFFLINE */
function rootSigner(authority: Authority) {
  const print = fingerprintOf(authority.root);
  const found = authority.publishers().find((each) => fingerprintOf(each.certificate) === print);
  if (found?.signer !== undefined) return found.signer;
  const message =
    "have the root's key certified by another authority, as ca.issued_by wants: the key is not here, the root is offline";
  throw new CountersignError('ERR_SUPERIOR_OFFLINE', message);
}

function pemOf({ behind, anchor }: Superior): string {
  return [...behind, anchor].map(({ raw }) => encodePem('CERTIFICATE', raw)).join('');
}
