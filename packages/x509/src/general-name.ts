import type { Name } from './name.ts';

/** RFC 5280 §4.2.1.6. In a name constraint `ip` carries address and mask: 8 or 32 bytes. */
export type GeneralName =
  | { readonly kind: 'dns'; readonly value: string }
  | { readonly kind: 'email'; readonly value: string }
  | { readonly kind: 'uri'; readonly value: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'registeredId'; readonly oid: string }
  /** `value` is the DER of what stands inside the explicit [0]. */
  | { readonly kind: 'otherName'; readonly oid: string; readonly value: Uint8Array }
  /** `raw` is the whole element, its tag included. */
  | { readonly kind: 'x400' | 'ediParty'; readonly raw: Uint8Array };
