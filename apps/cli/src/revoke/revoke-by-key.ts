import { createPrivateKey, type KeyObject } from 'node:crypto';
import { dirname, join } from 'node:path';
import { CountersignError } from '@countersign/base';
import { authorityClient, learnRoot, parseAuthorityUrl } from '@countersign/identity';
import type { BundleSource } from '@countersign/spiffe';
import {
  type FinalReason,
  finalReasons,
  keyRevokeText,
  parseFingerprint,
  type RevokeResponse,
} from '@countersign/wire';
import { type Certificate, fingerprintOf, keySigner } from '@countersign/x509';
import type { Cli } from '../cli.ts';
import { readCertificates } from '../read-certificates.ts';
import { readSecret } from '../secret-argument.ts';
import { revokeUsage, type WhatOptions } from './revoke-request.ts';

export interface ByKeyOptions extends WhatOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly fingerprint?: string;
}

/** By the certificate's own key, which signs what is asked for: nothing else has to be good any more. */
export async function revokeByKey(cli: Cli, options: ByKeyOptions): Promise<RevokeResponse> {
  const { ca, cert, key, wait } = options;
  if (ca === undefined || cert === undefined || key === undefined) {
    throw revokeUsage('--cert goes with --key @FILE, its private key, and --ca');
  }
  const reason = finalReasonIn(options);
  const attempted = 'revoke by key';
  const [certificate] = await readCertificates(cli, cert, attempted);
  if (certificate === undefined) throw revokeUsage(`--cert ${cert} has no certificate`);
  const signer = keySigner(await readPrivateKey(cli, key));
  if (Buffer.compare(signer.spki.raw, certificate.spki.raw) !== 0) {
    throw revokeUsage(`--key is not the key of certificate "${certificate.serialHex}" in --cert`);
  }
  const statement = {
    serial: certificate.serialHex.replace(/^0+(?=.)/, ''),
    certificate: fingerprintOf(certificate),
    reason,
    at: cli.clock.now(),
  };
  const signature = await signer.sign(keyRevokeText(statement));
  const { origin } = parseAuthorityUrl(ca);
  const bundles = await bundlesOf(cli, options, ca, cert);
  const client = authorityClient({ url: origin, bundles, clock: cli.clock });
  return client.revokeByKey({
    ...statement,
    signature,
    ...(wait !== undefined && { waitMs: wait }),
  });
}

function finalReasonIn(options: ByKeyOptions): FinalReason {
  const { reason = 'keyCompromise', release, block, dryRun } = options;
  const pointless = { '--release': release, '--block': block, '--dry-run': dryRun };
  for (const [word, given] of Object.entries(pointless)) {
    if (given === true)
      throw revokeUsage(`${word} is for operators and administrators, not by key`);
  }
  const found = finalReasons.find((each) => each === reason);
  if (found === undefined)
    throw revokeUsage(`reason "${reason}" is not for good, as by key it must be`);
  return found;
}

async function readPrivateKey(cli: Cli, written: string): Promise<KeyObject> {
  if (written !== '-' && !written.startsWith('@')) {
    throw revokeUsage('the private key of --cert is given as @FILE, or - for standard input');
  }
  const text = await readSecret(cli, written, '--key');
  try {
    return createPrivateKey(text.reveal());
  } catch {
    // What OpenSSL says of it may quote it.
    throw new CountersignError(
      'ERR_KEY_PRIVATE',
      `read --key ${written}: it is no private key in PEM`,
    );
  }
}

/** By what the authority is known: its root's fingerprint, or the trust anchors beside the certificate. */
async function bundlesOf(
  cli: Cli,
  { fingerprint }: ByKeyOptions,
  ca: string,
  cert: string,
): Promise<BundleSource> {
  if (fingerprint !== undefined) {
    const pin = parseFingerprint(fingerprint);
    const address = parseAuthorityUrl(ca);
    return anchored([await learnRoot({ address, fingerprint: pin, timeoutMs: 15_000 })]);
  }
  try {
    return anchored(
      await readCertificates(cli, join(dirname(cert), 'bundle.pem'), 'revoke by key'),
    );
  } catch (thrown) {
    throw new CountersignError(
      'ERR_USAGE',
      `revoke: no --fingerprint is given, and no bundle.pem is beside "${cert}"`,
      { hint: 'give --fingerprint, the SHA-256 of the root, as init printed it', cause: thrown },
    );
  }
}

function anchored(authorities: readonly Certificate[]): BundleSource {
  return {
    bundle: (trustDomain) => ({ trustDomain, authorities }),
    authorities: () => authorities,
  };
}
