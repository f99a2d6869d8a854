import type { Denial } from '@countersign/base';
import {
  type CertificateNames,
  countNames,
  formatNames,
  namesBeyond,
  parseNames,
} from '../certificate-names.ts';
import type { Issued } from '../issue.ts';
import { type AskedNames, askedNames, writtenOf, wrongWithRenewedNames } from './asked-names.ts';
import { countGuess, nameOfCaller } from './authenticate.ts';
import type { Device } from './devices.ts';
import type { EstCall } from './est-call.ts';
import type { EstContext } from './est-context.ts';
import { type EstRefusal, refusal, refusalOfDenial } from './est-refusal.ts';

/**
 * A certificate for whoever asks, by the flow that its evidence is of: a token is redeemed, a certificate of ours
 * renewed, and for users and devices the door vouches. `der` is the request, or one for a key that is made here.
 */
export async function enrol(
  context: EstContext,
  call: EstCall,
  der: Uint8Array,
): Promise<Issued | EstRefusal> {
  const { caller, http } = call;
  const { left } = http;
  const peer = caller.by === 'certificate' ? caller.peer : undefined;
  // What is renewed and ends soon comes first. A token is redeemed in its turn, and not spent by whoever is sent away.
  const order = { key: peer?.serialHex, endsAt: peer?.notAfter, ...(left && { left }) };
  const issued = await context.line.serve(
    peer === undefined ? { ...order, holder: nameOfCaller(caller) } : order,
    () => issueFor(context, call, der),
  );
  if (issued.ok) return issued;
  if ('status' in issued) return issued;
  if (issued.code.startsWith('ERR_TOKEN_')) countGuess(context, call.http);
  return refusalOfDenial(issued);
}

async function issueFor(
  context: EstContext,
  { label, caller, csr }: EstCall,
  der: Uint8Array,
): Promise<Issued | Denial | EstRefusal> {
  const { authority } = context;
  const { intermediate: issuer, profile, lifetimeMs: ttlMs } = label;
  const wishes = { csr: der, issuer, profile, ttlMs };

  // 1. The names are those of the token, or of the certificate that is renewed.
  if (caller.by === 'token') return authority.enrol({ ...wishes, token: caller.token });
  const asked = askedNames(csr);
  if (!asked.ok) return asked;
  if (caller.by === 'certificate') {
    const { peer } = caller;
    const current = askedNames(peer.leaf);
    if (!current.ok) return current;
    const wrong = wrongWithRenewedNames(asked, current);
    if (wrong !== undefined) return refusal('names', wrong.detail);
    return authority.renew({ csr: der, peer });
  }

  // 2. Of a device: those of its rule. Of a user: what the policy gives to its provisioner.
  const granted = caller.by === 'device' ? namesOfDevice(caller.device, asked) : asked;
  if (!granted.ok) return granted;
  const { provisioner = label.provisioner } =
    caller.by === 'device' ? caller.device.rule : caller.user;
  const who = caller.by === 'device' ? caller.device.words : `user "${caller.user.name}"`;
  const place = label.name === undefined ? '' : ` under label "${label.name}"`;
  return authority.doors.vouch({
    ...wishes,
    ...writtenOf(granted.names),
    commonName: granted.commonName,
    provisioner,
    caller: nameOfCaller(caller),
    evidence: `est ${who}${place}`,
  });
}

interface GrantedNames {
  readonly ok: true;
  readonly names: CertificateNames;
  readonly commonName: string | undefined;
}

/** What it asks for must be in its rule; where it asks for nothing it gets all of that. */
function namesOfDevice(device: Device, asked: AskedNames): GrantedNames | Denial | EstRefusal {
  const { dns, spiffeId, rule } = device;
  const named = parseNames({ dns, spiffeId });
  if (!named.ok) return named;
  const beyond = namesBeyond(asked.names, named.names);
  // A common name alone is how a manufacturer titles a request: it asks for a host only where the rule has that.
  const asksNothing = countNames(asked.names) === 0 || (asked.isTitled && beyond.length > 0);
  if (asksNothing) return { ok: true, names: named.names, commonName: undefined };
  if (beyond.length > 0) {
    const may = formatNames(named.names).join('", "');
    const sides = `"${beyond.join('", "').slice(0, 500)}" is asked for, the device may have "${may}"`;
    return refusal('names', sides, { fields: { devices: rule.name } });
  }
  const { commonName } = asked;
  const isNamed = commonName !== undefined && asked.names.dns.includes(commonName.toLowerCase());
  return {
    ok: true,
    names: { ...asked.names, spiffeId: named.names.spiffeId },
    commonName: isNamed ? commonName : undefined,
  };
}
