import { hash } from 'node:crypto';
import { buildOcspErrorResponse, type OcspResponseStatus } from '@countersign/x509';

/** What is sent for a request. */
export interface OcspReply {
  readonly body: Uint8Array;
  /** For how long anybody may keep it; undefined: not at all. */
  readonly life: ReplyLife | undefined;
}

export interface ReplyLife {
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly etag: string;
  /** The same dates as HTTP writes them. */
  readonly lastModified: string;
  readonly expires: string;
}

export type OcspError = Exclude<OcspResponseStatus, 'successful'>;

export function errorReply(status: OcspError): OcspReply {
  return errorReplies[status];
}

export function lifeOf(body: Uint8Array, thisUpdate: number, nextUpdate: number): ReplyLife {
  return {
    thisUpdate,
    nextUpdate,
    etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"`,
    lastModified: new Date(thisUpdate).toUTCString(),
    expires: new Date(nextUpdate).toUTCString(),
  };
}

const errors: readonly OcspError[] = [
  'malformedRequest',
  'internalError',
  'tryLater',
  'sigRequired',
  'unauthorized',
];

/** Nobody has signed them, so they are the same for everybody, and nobody may keep them (RFC 5019 §5). */
const errorReplies = Object.fromEntries(
  errors.map((status) => [status, { body: buildOcspErrorResponse(status), life: undefined }]),
) as Record<OcspError, OcspReply>;
