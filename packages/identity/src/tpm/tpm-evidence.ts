import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, Secret } from '@countersign/base';
import {
  formatTpmEvidence,
  type TpmChallenge,
  type TpmChallengeRequest,
  tpmQualifying,
} from '@countersign/wire';
import {
  attestationTemplate,
  certificatesFromPem,
  endorsementTemplate,
  type TpmCommands,
  type TpmKeyKind,
} from '@countersign/x509';
import { openTpm } from './open-tpm.ts';

export interface TpmEvidenceOptions {
  /** Path; /dev/tpmrm0 unless given. */
  readonly device?: string | undefined;
  /** Of endorsement and attestation key; ecc unless given. */
  readonly keys?: TpmKeyKind | undefined;
  /** PEM with the endorsement key's certificate, and issuers above it; what the TPM holds unless given. */
  readonly certificateFile?: string | undefined;
}

export interface TpmEvidenceOrder {
  /** SubjectPublicKeyInfo that is to be certified, DER. */
  readonly spki: Uint8Array;
  /** Asks the authority. */
  readonly challenge: (request: TpmChallengeRequest) => Promise<TpmChallenge>;
}

/** TCG EK Credential Profile §2.2.1.4: where makers put the certificates of their endorsement keys. */
const certificateIndex: Readonly<Record<TpmKeyKind, number>> = {
  rsa: 0x01c0_0002,
  ecc: 0x01c0_000a,
};

/**
 * That this machine has its TPM, in words that the authority takes for a token. Both keys are made anew from their
 * templates, which gives the same ones each time; nothing stays in the TPM.
 *
 * @throws CountersignError ERR_TPM_*, ERR_EVIDENCE_FILE, and what the challenge rejects with
 */
export async function tpmEvidence(
  { device, keys = 'ecc', certificateFile }: TpmEvidenceOptions,
  { spki, challenge }: TpmEvidenceOrder,
): Promise<Secret<string>> {
  const { commands, close } = await openTpm(device);
  const loaded: number[] = [];
  try {
    // 1. the key by which the TPM is known, and one that signs what it states
    const ek = await commands.createPrimary('endorsement', endorsementTemplate(keys));
    loaded.push(ek.handle);
    const ak = await commands.createPrimary('endorsement', attestationTemplate(keys));
    loaded.push(ak.handle);
    const both = { endorsement: ek.public.raw, attestation: ak.public.raw };
    const certificates =
      certificateFile === undefined
        ? await certificateIn(commands, certificateIndex[keys])
        : await certificatesIn(certificateFile);

    // 2. both are in one TPM: it opens what was made for one under the other
    const { at, ...credential } = await challenge(both);
    const content = await commands.activateCredential(ak.handle, ek.handle, credential);

    // 3. and it vouches for the key that is to be certified
    const stated = await commands.quote(ak.handle, tpmQualifying(content, spki));
    return new Secret(formatTpmEvidence({ ...both, certificates, at, content, ...stated }));
  } finally {
    for (const handle of loaded) await commands.flushContext(handle).catch(() => {});
    await close();
  }
}

/** Of the TPM itself, where its maker put one there. */
async function certificateIn(commands: TpmCommands, index: number): Promise<Uint8Array[]> {
  const held = await commands.readIndex(index).catch((thrown: unknown) => {
    // There is no such index: authorities that know the key's hash need none.
    if (thrown instanceof CountersignError && thrown.code === 'ERR_TPM_COMMAND') return undefined;
    throw thrown;
  });
  return held === undefined ? [] : [withoutPadding(held)];
}

/** Some makers leave more room than the certificate takes: its own DER says how long it is. */
function withoutPadding(held: Uint8Array): Uint8Array {
  const [tag, form, high = 0, low = 0] = held;
  return tag === 0x30 && form === 0x82 ? held.subarray(0, 4 + high * 0x100 + low) : held;
}

async function certificatesIn(path: string): Promise<Uint8Array[]> {
  try {
    return certificatesFromPem(await readFile(path, 'utf8')).map(({ raw }) => raw);
  } catch (thrown) {
    const message = `read the endorsement key's certificate in "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_EVIDENCE_FILE', message, { cause: thrown });
  }
}
