import { CountersignError } from '@countersign/base';
import { readUlong } from './call-memory.ts';
import { ckf } from './cryptoki-constants.ts';
import type { Pkcs11Module } from './pkcs11-module.ts';

/** CK_TOKEN_INFO, what we need of it. */
export interface TokenFound {
  readonly slot: bigint;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly flags: bigint;
  /** Undefined: as many as one likes. */
  readonly maxSessions: number | undefined;
}

const tokenInfoBytes = 208;
const mostSlots = 256;
/** CK_TRUE: slots with a token in them. */
const presentOnly = 1n;
/** CK_UNAVAILABLE_INFORMATION and CK_EFFECTIVELY_INFINITE. */
const unbounded = new Set([0n, 0xffff_ffff_ffff_ffffn]);

/**
 * The one token with the label, and the serial number where it is given.
 *
 * @throws CountersignError ERR_SIGNER_TOKEN_MISSING with the labels that are there; Pkcs11Failure
 */
export async function findToken(
  module: Pkcs11Module,
  wanted: { readonly label: string; readonly serial?: string | undefined },
): Promise<TokenFound> {
  const { label, serial } = wanted;
  const tokens = await listTokens(module);
  const named = tokens.filter((token) => token.label === label);
  const matching = serial === undefined ? named : named.filter((token) => token.serial === serial);
  const [found, second] = matching;
  if (found !== undefined && second === undefined) return found;
  const list = (all: readonly TokenFound[], key: 'label' | 'serial') =>
    all.length === 0 ? 'none' : all.map((token) => `"${token[key]}"`).join(', ');
  const message =
    found !== undefined
      ? `find token "${label}" in "${module.path}": there are several, with the serial numbers ${list(matching, 'serial')}`
      : named.length > 0
        ? `find token "${label}" in "${module.path}": serial number "${serial}" is wanted, there is ${list(named, 'serial')}`
        : `find token "${label}" in "${module.path}": it has ${list(tokens, 'label')}`;
  throw new CountersignError('ERR_SIGNER_TOKEN_MISSING', message, {
    fields: { module: module.path, label, found: tokens.map((token) => token.label) },
    ...(found === undefined ? {} : { hint: 'tell them apart with hsm.token_serial in ca.yaml' }),
  });
}

async function listTokens(module: Pkcs11Module): Promise<TokenFound[]> {
  const slots = await module.call('C_GetSlotList', (memory) => {
    const count = memory.number(mostSlots);
    const list = memory.room(mostSlots * 8);
    const read = () =>
      Array.from({ length: Number(count.read()) }, (_, i) => readUlong(list.view, i * 8));
    return { args: [presentOnly, list.pointer, count.pointer], read };
  });
  const tokens: TokenFound[] = [];
  for (const slot of slots) {
    const token = await tokenInfo(module, slot);
    if ((token.flags & ckf.tokenInitialized) !== 0n) tokens.push(token);
  }
  return tokens;
}

function tokenInfo(module: Pkcs11Module, slot: bigint): Promise<TokenFound> {
  return module.call('C_GetTokenInfo', (memory) => {
    const { pointer, view } = memory.room(tokenInfoBytes);
    const text = (from: number, to: number) =>
      new TextDecoder().decode(view.slice(from, to)).replace(/[ \0]+$/, '');
    const read = () => {
      const sessions = readUlong(view, 104);
      return {
        slot,
        label: text(0, 32),
        manufacturer: text(32, 64),
        model: text(64, 80),
        serial: text(80, 96),
        flags: readUlong(view, 96),
        maxSessions: unbounded.has(sessions) ? undefined : Number(sessions),
      };
    };
    return { args: [slot, pointer], read };
  });
}
