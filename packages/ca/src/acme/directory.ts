import type { AcmeConfig } from './acme-config.ts';
import type { AcmeAnswer, AcmeLinks } from './acme-request.ts';

/** RFC 8555 §7.1.1, RFC 9773 §4, and profiles. */
export function directory(config: AcmeConfig, links: AcmeLinks): AcmeAnswer {
  const { termsOfService, website, caaIdentities, externalAccountRequired, profiles } = config;
  return {
    ok: true,
    status: 200,
    headers: { 'access-control-allow-origin': '*' },
    body: {
      newNonce: links.of('new-nonce'),
      newAccount: links.of('new-account'),
      newOrder: links.of('new-order'),
      revokeCert: links.of('revoke-certificate'),
      keyChange: links.of('key-change'),
      renewalInfo: links.of('renewal-info'),
      meta: {
        externalAccountRequired,
        ...(termsOfService !== undefined && { termsOfService }),
        ...(website !== undefined && { website }),
        ...(caaIdentities.length > 0 && { caaIdentities }),
        ...(profiles.length > 0 && {
          profiles: Object.fromEntries(profiles.map((each) => [each.name, each.description])),
        }),
      },
    },
  };
}
