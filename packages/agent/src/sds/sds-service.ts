import { duplex, type GrpcMethod, unary } from '../grpc/grpc-method.ts';
import type { CallStatus } from '../grpc/grpc-status.ts';
import type { ServerCall } from '../grpc/server-call.ts';
import type { Admission } from '../serve/admit-workload.ts';
import type { LiveStreams } from '../serve/live-streams.ts';
import { refusalOf } from '../serve/refuse-call.ts';
import type { HeldIdentities } from '../svids/held-identities.ts';
import { DeltaStream } from './delta-stream.ts';
import { type DiscoveryRequest, sdsMessages, sdsMethods, secretType } from './sds-messages.ts';
import type { SdsReport } from './sds-report.ts';
import {
  missingOf,
  type SdsStream,
  type SdsStreamOptions,
  tooMany,
  wrongType,
} from './sds-stream.ts';
import { secretsOf } from './secrets-of.ts';
import { SotwStream } from './sotw-stream.ts';

export interface SdsOptions {
  readonly admission: Admission;
  readonly streams: LiveStreams;
  readonly identities: HeldIdentities;
  readonly report: SdsReport;
}

/** Envoy's secret discovery, version 3: state of the world, delta, and single fetches. */
export function sdsService(options: SdsOptions): readonly GrpcMethod[] {
  return [
    duplex(sdsMethods.streamSecrets, (call) => serve(options, call, 'StreamSecrets', SotwStream)),
    duplex(sdsMethods.deltaSecrets, (call) => serve(options, call, 'DeltaSecrets', DeltaStream)),
    unary(sdsMethods.fetchSecrets, (call, request) => fetchSecrets(options, call, request)),
  ];
}

type StreamKind<Request> = new (options: SdsStreamOptions) => SdsStream<Request>;

/** @returns what takes the requests; undefined where the call is refused */
async function serve<Request>(
  options: SdsOptions,
  call: ServerCall,
  method: string,
  Kind: StreamKind<Request>,
): Promise<((request: Request) => void) | undefined> {
  const { admission, streams, identities, report } = options;
  // 1. who asks, by the kernel's word as everywhere; Envoy sends no header of the Workload API
  const workload = await admission.admit(call, method);
  if (!workload.ok) {
    call.end(refusalOf(workload));
    return undefined;
  }
  if (call.isOver) return undefined;
  // 2. requests and changes take turns: each may be reason for an answer
  const held = { entries: workload.entries };
  const { process } = workload.attested;
  const stream = new Kind({ held, process, identities, report });
  function answer(): void {
    if (call.isOver || call.isBehind) return;
    const next = stream.answer();
    if (next === undefined) return;
    if (!(next instanceof Uint8Array)) {
      call.end(next);
      return;
    }
    report.sent();
    call.send(next);
  }
  call.onDrain = answer;
  const unfollow = streams.follow(
    {
      attested: workload.attested,
      update(entries) {
        held.entries = entries;
        answer();
      },
      refuse(refusal) {
        admission.count(method, refusal);
        call.end(refusalOf(refusal));
      },
    },
    workload,
  );
  // 3. until it hangs up
  call.onOver(unfollow);
  return function asked(request) {
    const wrong = stream.asked(request);
    if (wrong === undefined) answer();
    else call.end(wrong);
  };
}

async function fetchSecrets(
  { admission, identities }: SdsOptions,
  call: ServerCall,
  { resourceNames, typeUrl, node }: DiscoveryRequest,
): Promise<Uint8Array | CallStatus> {
  const workload = await admission.admit(call, 'FetchSecrets');
  if (!workload.ok) return refusalOf(workload);
  const wrong = wrongType(typeUrl) ?? tooMany(resourceNames);
  if (wrong !== undefined) return wrong;
  const held = identities.of(workload.entries);
  if (!held.ok) return refusalOf(held);
  const names = resourceNames.length === 0 ? undefined : new Set(resourceNames);
  const secrets = secretsOf({ names, node }, held, identities);
  const missing = missingOf(resourceNames, secrets);
  if (missing !== undefined) return missing;
  return sdsMessages.response.encode({
    versionInfo: secrets.map(({ version }) => version).join('-'),
    resources: secrets.map(({ bytes }) => ({ typeUrl: secretType, value: bytes })),
    typeUrl: secretType,
    nonce: '',
  });
}
