import { type ConfigError, configIssue, type SourceDocument } from '@countersign/config';
import { type DestinationRuleSpec, destinationRuleSpec } from './destination-rule-schema.ts';
import { type GatewaySpec, gatewaySpec } from './gateway-schema.ts';
import { type IstioDocument, readIstioDocument } from './istio-document.ts';
import {
  type ServiceEntrySpec,
  serviceEntrySpec,
  type WorkloadEntrySpec,
  workloadEntrySpec,
} from './service-entry-schema.ts';
import { type VirtualServiceSpec, virtualServiceSpec } from './virtual-service-schema.ts';

/** What Istio's networking documents say together; each as it was written. */
export interface IstioDocuments {
  readonly gateways: readonly IstioDocument<GatewaySpec>[];
  readonly virtualServices: readonly IstioDocument<VirtualServiceSpec>[];
  readonly destinationRules: readonly IstioDocument<DestinationRuleSpec>[];
  readonly serviceEntries: readonly IstioDocument<ServiceEntrySpec>[];
  readonly workloadEntries: readonly IstioDocument<WorkloadEntrySpec>[];
}

/** The kinds that a gateway goes by. */
export const routingKinds = [
  'Gateway',
  'VirtualService',
  'DestinationRule',
  'ServiceEntry',
  'WorkloadEntry',
] as const;

/** Whether a document is one of Istio's that routing goes by. */
export function isRoutingDocument({ value }: SourceDocument): boolean {
  const { kind, apiVersion } = Object(value) as { kind?: unknown; apiVersion?: unknown };
  const isNetworking = String(apiVersion).startsWith('networking.istio.io/');
  return isNetworking && (routingKinds as readonly unknown[]).includes(kind);
}

/**
 * Reads each by its kind.
 *
 * @throws ConfigError with every issue of the first document that cannot be read, or is of no kind that is done
 */
export function readIstioDocuments(sources: readonly SourceDocument[]): IstioDocuments {
  const gateways: IstioDocument<GatewaySpec>[] = [];
  const virtualServices: IstioDocument<VirtualServiceSpec>[] = [];
  const destinationRules: IstioDocument<DestinationRuleSpec>[] = [];
  const serviceEntries: IstioDocument<ServiceEntrySpec>[] = [];
  const workloadEntries: IstioDocument<WorkloadEntrySpec>[] = [];
  const readers: Readonly<Record<string, (source: SourceDocument) => void>> = {
    Gateway: (each) => gateways.push(readIstioDocument('Gateway', gatewaySpec, each)),
    VirtualService: (each) =>
      virtualServices.push(readIstioDocument('VirtualService', virtualServiceSpec, each)),
    DestinationRule: (each) =>
      destinationRules.push(readIstioDocument('DestinationRule', destinationRuleSpec, each)),
    ServiceEntry: (each) =>
      serviceEntries.push(readIstioDocument('ServiceEntry', serviceEntrySpec, each)),
    WorkloadEntry: (each) =>
      workloadEntries.push(readIstioDocument('WorkloadEntry', workloadEntrySpec, each)),
  };
  for (const source of sources) {
    const { kind } = Object(source.value) as { kind?: unknown };
    const read = typeof kind === 'string' ? readers[kind] : undefined;
    if (read === undefined) throw unknownKind(source, kind);
    read(source);
  }
  return { gateways, virtualServices, destinationRules, serviceEntries, workloadEntries };
}

function unknownKind(source: SourceDocument, kind: unknown): ConfigError {
  const message = `kind ${JSON.stringify(kind)} is none that a gateway goes by, those are ${routingKinds.join(', ')}`;
  return configIssue(source, ['kind'], 'ERR_CONFIG_UNSUPPORTED', message);
}
