import { Secret } from '@countersign/base';
import { readMessage } from './read-message.ts';

/** `POST /v1/admin/vault-token`, on the admin socket alone: a token of Vault's API, which makes the others. */
export interface VaultTokenRequest {
  /** At least one; `root` may do everything. */
  readonly policies: readonly string[];
  /** Absent: a root token never ends, others when the server says. */
  readonly ttlMs?: number;
}

export interface VaultTokenResponse {
  /** The one time that it is seen. */
  readonly token: Secret<string>;
  readonly accessor: string;
  /** Absent: it never ends. */
  readonly expiresAt?: number;
  /** What whoever asked is to be told, as a policy that is not there. Default none. */
  readonly warnings?: readonly string[];
}

const words = { maxItems: 64, max: 128 };
/** Ten years. */
export const longestVaultTokenMs = 10 * 366 * 86_400_000;

export function parseVaultTokenRequest(json: unknown): VaultTokenRequest {
  return readMessage('vault token request', json, (m) => {
    const ttlMs = m.optional('ttlMs', (name) =>
      m.integer(name, { min: 1000, max: longestVaultTokenMs }),
    );
    return { policies: m.listOfTexts('policies', words), ...(ttlMs !== undefined && { ttlMs }) };
  });
}

export function formatVaultTokenRequest(request: VaultTokenRequest): string {
  return JSON.stringify(request);
}

export function parseVaultTokenResponse(json: unknown): VaultTokenResponse {
  return readMessage(
    'vault token response',
    json,
    (m) => {
      const expiresAt = m.optional('expiresAt', (name) => m.integer(name, { min: 0 }));
      const warnings = m.optional('warnings', (name) => m.listOfTexts(name, { maxItems: 128 }));
      return {
        token: new Secret(m.text('token', { max: 256, secret: true })),
        accessor: m.text('accessor', { max: 256 }),
        ...(expiresAt !== undefined && { expiresAt }),
        ...(warnings !== undefined && { warnings }),
      };
    },
    { unknown: 'ignore' },
  );
}

/** The one place besides the command that writes it out. */
export function formatVaultTokenResponse({ token, ...rest }: VaultTokenResponse): string {
  return JSON.stringify({ token: token.reveal(), ...rest });
}
