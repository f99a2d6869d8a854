import type { TpmEvidenceOptions } from '../tpm/tpm-evidence.ts';

/** Where a machine gets what shows who it is, other than a join token. */
export type EvidenceSource =
  /** A token that somebody keeps fresh in a file: a service account's of Kubernetes, any OIDC issuer's. */
  | { readonly kind: 'file'; readonly path: string }
  | {
      /** The identity document of an EC2 instance. */
      readonly kind: 'aws';
      readonly metadata?: string | undefined;
    }
  | {
      /** The identity token of a Compute Engine instance. */
      readonly kind: 'gcp';
      readonly audience: string;
      readonly metadata?: string | undefined;
    }
  | {
      /** Attested data of a virtual machine of Azure; with an audience the token of its managed identity. */
      readonly kind: 'azure';
      readonly audience?: string | undefined;
      /** Which managed identity, where it has several. */
      readonly clientId?: string | undefined;
      readonly metadata?: string | undefined;
    }
  /** What the TPM of this machine states. */
  | ({ readonly kind: 'tpm' } & TpmEvidenceOptions);

/** Where clouds tell a machine about itself, in the clear on a link of its own. */
export const metadataAddress = 'http://169.254.169.254';
