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
      newNonce: links.of('newNonce'),
      newAccount: links.of('newAccount'),
      newOrder: links.of('newOrder'),
      revokeCert: links.of('revokeCert'),
      keyChange: links.of('keyChange'),
      // RFC 9773 §4.1: clients put the slash
      renewalInfo: links.of('renewalInfo').replace(/\/$/, ''),
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
