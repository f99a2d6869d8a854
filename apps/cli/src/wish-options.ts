import type { CertificateWishes } from '@countersign/wire';
import type { Command } from 'commander';
import { durationOption } from './duration-option.ts';

export interface WishOptions {
  readonly ttl?: number;
  readonly profile?: string;
  readonly issuer?: string;
}

/** `--ttl`, `--profile`, `--issuer` of commands that get a certificate; the authority decides. */
export function addWishOptions(command: Command, ttl: string): Command {
  return command
    .addOption(durationOption('--ttl <duration>', ttl, undefined, 1000))
    .option('--profile <name>', 'a profile of ca.yaml; the one for such a request unless given')
    .option(
      '--issuer <name>',
      'the intermediate that signs; the first that admits the names unless given',
    );
}

export function wishesOf({ ttl, profile, issuer }: WishOptions): CertificateWishes {
  return {
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(profile !== undefined && { profile }),
    ...(issuer !== undefined && { issuer }),
  };
}
