import { CountersignError } from '@countersign/base';
import { z } from 'zod';

/** How the agent shows what it is, where it has neither a join token nor a certificate that holds. */
export interface AttestConfig {
  /** SHA-256 of the root's DER, lowercase hex: by this the authority is known. */
  readonly fingerprint: string;
  readonly source: AttestSource;
}

export type AttestSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'aws'; readonly metadata: string | undefined }
  | { readonly kind: 'gcp'; readonly audience: string; readonly metadata: string | undefined }
  | {
      readonly kind: 'azure';
      readonly audience: string | undefined;
      readonly clientId: string | undefined;
      readonly metadata: string | undefined;
    }
  | {
      readonly kind: 'tpm';
      readonly device: string | undefined;
      readonly keys: 'ecc' | 'rsa' | undefined;
      readonly certificateFile: string | undefined;
    };

const text = z.string().min(1).max(1000);
const metadata = z
  .string()
  .regex(/^https?:\/\/[^/?#]+$/, 'expected http://HOST[:PORT]')
  .optional();

/** `attest` of agent.yaml as written. */
export const attestSchema = z.strictObject({
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lowercase hexadecimal digits'),
  kubernetes: z.strictObject({ token_file: text }).optional(),
  oidc: z.strictObject({ token_file: text }).optional(),
  aws: z.strictObject({ metadata }).optional(),
  gcp: z.strictObject({ audience: text, metadata }).optional(),
  azure: z
    .strictObject({ audience: text.optional(), client_id: text.optional(), metadata })
    .optional(),
  tpm: z
    .strictObject({
      device: text.optional(),
      keys: z.enum(['ecc', 'rsa']).optional(),
      certificate_file: text.optional(),
    })
    .optional(),
});

type Written = z.output<typeof attestSchema>;

/** @throws CountersignError ERR_CONFIG_VALUE unless exactly one way is named */
export function readAttest({ fingerprint, ...ways }: Written): AttestConfig {
  const named = Object.entries(ways).filter(([, way]) => way !== undefined);
  const [only] = named;
  if (only === undefined || named.length > 1) {
    const found = named.length === 0 ? 'none' : `"${named.map(([name]) => name).join('" and "')}"`;
    throw wrong(
      `one of "${Object.keys(attestSchema.shape).slice(1).join('", "')}" is expected, found ${found}`,
    );
  }
  return { fingerprint, source: sourceOf(ways) };
}

function sourceOf({
  kubernetes,
  oidc,
  aws,
  gcp,
  azure,
  tpm,
}: Omit<Written, 'fingerprint'>): AttestSource {
  if (aws !== undefined) return { kind: 'aws', metadata: aws.metadata };
  if (gcp !== undefined) return { kind: 'gcp', audience: gcp.audience, metadata: gcp.metadata };
  if (tpm !== undefined) {
    const { device, keys, certificate_file: certificateFile } = tpm;
    return { kind: 'tpm', device, keys, certificateFile };
  }
  if (azure === undefined) {
    return { kind: 'file', path: (kubernetes ?? oidc)?.token_file ?? '' };
  }
  const { audience, client_id: clientId } = azure;
  if (clientId !== undefined && audience === undefined) {
    throw wrong('azure: client_id goes with audience');
  }
  return { kind: 'azure', audience, clientId, metadata: azure.metadata };
}

function wrong(reason: string): CountersignError {
  return new CountersignError('ERR_CONFIG_VALUE', `attest: ${reason}`);
}
