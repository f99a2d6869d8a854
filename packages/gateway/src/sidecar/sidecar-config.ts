import { type MtlsMode, mtlsOf, type PeerAuthentication } from '@countersign/authz';
import {
  checkAll,
  configIssue,
  parseConfigText,
  readDocument,
  type SourceDocument,
} from '@countersign/config';
import { checkRevocationConfig } from '@countersign/revocation';
import { spiffeIdOf } from '@countersign/spiffe';
import { checkOrigin } from '../check-routes.ts';
import {
  checkIssuer,
  checkLogKey,
  type GatewayConfig,
  gatewayConfigOf,
} from '../gateway-config.ts';
import { checkProviders } from '../provider-config.ts';
import { compileSidecar, inboundName } from './compile-sidecar.ts';
import { isLoopback, sidecarSchema, type WrittenSidecar } from './sidecar-schema.ts';

/** `sidecar.yaml`, read and checked, and what it means to a gateway. */
export interface SidecarConfig {
  readonly written: WrittenSidecar;
  readonly gateway: GatewayConfig;
}

/**
 * Reads `sidecar.yaml`. Relative paths in it are left as written.
 *
 * @param file as the operator named it, for messages
 * @throws ConfigError with every issue of the schema, or every one across keys
 */
export function parseSidecarConfig(text: string, file: string): SidecarConfig {
  const document = parseConfigText(text, file);
  const written = readDocument(sidecarSchema, document);
  const { ca, issuer, revocation, issuanceLog, authorization, sidecar } = written;
  checkAll(file, [
    () => checkListeners(document, written),
    () => checkDestinations(document, written),
    () => checkProviders(document, authorization.providers),
    () => ca !== undefined && checkOrigin(document, ['ca'], ca, 'https alone'),
    () => checkRevocationConfig(document, ['revocation'], revocation),
    () => checkIssuer(document, { issuer, ca, revocation, issuanceLog }),
    () => issuanceLog !== undefined && checkLogKey(document, issuanceLog.key),
  ]);
  const { policies, admin, limits } = written;
  return {
    written,
    gateway: {
      ...gatewayConfigOf(compileSidecar(written)),
      ...{ ca, issuer, policies, admin, revocation, issuanceLog, limits },
      authorization: { ...authorization, workload: sidecar },
    },
  };
}

/** What each inbound port takes, by the name of its listener: PeerAuthentication, then the port, then the file. */
export function modesOf(
  { sidecar, inbound, mtls, authorization }: WrittenSidecar,
  peers: readonly PeerAuthentication[],
): ReadonlyMap<string, { readonly mode: MtlsMode; readonly by: string }> {
  const { rootNamespace = 'istio-system' } = authorization.mesh;
  return new Map(
    inbound.map((each) => {
      const said = mtlsOf(peers, sidecar, each.port, rootNamespace);
      const own = { mode: each.mtls ?? mtls, by: 'sidecar.yaml' };
      const { mode, by } = said.by === undefined ? own : { mode: said.mode, by: said.by };
      return [inboundName(each.port), { mode, by }];
    }),
  );
}

function checkListeners(document: SourceDocument, { inbound, outbound }: WrittenSidecar): void {
  const refuse = (path: readonly (string | number)[], message: string) =>
    configIssue(document, path, 'ERR_CONFIG_VALUE', `${path.join('.')}: ${message}`);
  const { proxy, redirect, destinations } = outbound;
  const isSilent = destinations.every(({ listen }) => listen === undefined);
  if (inbound.length === 0 && isSilent && proxy === undefined && redirect === undefined) {
    throw refuse(['sidecar'], 'nothing to do: neither an inbound port nor a way out');
  }
  for (const [i, { port, listen, app }] of inbound.entries()) {
    if (inbound.findIndex((each) => each.port === port) < i) {
      throw refuse(['inbound', i, 'port'], `port ${port} is there already`);
    }
    const isWide = ['0.0.0.0', '::', app].includes(listen.address);
    if (listen.port === port && isWide) {
      const message = `"${listen.address}:${port}" is where the application listens, choose another`;
      throw refuse(['inbound', i, 'listen'], message);
    }
  }
  if (proxy !== undefined && !isLoopback(proxy.address)) {
    const message = `"${proxy.address}" is reached by others, who would speak as this workload`;
    throw refuse(['outbound', 'proxy', 'address'], message);
  }
  for (const [i, { listen }] of outbound.destinations.entries()) {
    if (listen === undefined || isLoopback(listen.address)) continue;
    const message = `"${listen.address}" is reached by others, who would speak as this workload`;
    throw refuse(['outbound', 'destinations', i, 'listen', 'address'], message);
  }
}

function checkDestinations(document: SourceDocument, { outbound }: WrittenSidecar): void {
  for (const [i, { name, spiffeId }] of outbound.destinations.entries()) {
    const path = ['outbound', 'destinations', i] as const;
    if (outbound.destinations.findIndex((each) => each.name === name) < i) {
      const message = `${path.join('.')}.name: a destination "${name}" is there already`;
      throw configIssue(document, [...path, 'name'], 'ERR_CONFIG_VALUE', message);
    }
    for (const id of [spiffeId].flat()) {
      if (spiffeIdOf(id)?.toString() === id) continue;
      const message = `${path.join('.')}.spiffeId: expected a SPIFFE ID such as spiffe://example.com/orders, found "${id}"`;
      throw configIssue(document, [...path, 'spiffeId'], 'ERR_CONFIG_VALUE', message);
    }
  }
}
