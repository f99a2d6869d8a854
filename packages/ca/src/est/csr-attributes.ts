import { der, type KeyKind, oids } from '@countersign/x509';
import { answerOf, type EstAnswer } from './encoded-answer.ts';
import type { EstLabel } from './est-config.ts';
import type { EstContext } from './est-context.ts';

/** RFC 7030 §4.5.2: what a request must have; 204 where that is nothing. */
export function csrAttributes({ authority, config }: EstContext, label: EstLabel): EstAnswer {
  const { profiles, defaultProfile } = authority.config;
  const profile = profiles.find(({ name }) => name === label.profile) ?? defaultProfile;
  const attributes = [
    ...(config.channelBinding === 'required' ? [der.oid(oids.challengePassword)] : []),
    ...(profile.keys ?? []).flatMap(attributeOfKey),
  ];
  if (attributes.length === 0) return { ok: true, status: 204, headers: {}, body: '' };
  return answerOf('application/csrattrs', der.sequence(...attributes));
}

/** Kinds that have no such form are left to the refusal. */
function attributeOfKey(kind: KeyKind): Uint8Array[] {
  if (kind.type === 'RSA') {
    return [der.sequence(der.oid(oids.rsaEncryption), der.setOf(der.integer(kind.bits)))];
  }
  if (kind.type !== 'EC') return [];
  const curve = { 'P-256': oids.p256, 'P-384': oids.p384, 'P-521': oids.p521 }[kind.curve];
  return [der.sequence(der.oid(oids.ecPublicKey), der.setOf(der.oid(curve)))];
}
