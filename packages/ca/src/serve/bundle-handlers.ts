import { denial } from '@countersign/base';
import { bundleDigest, formatBundleDocument } from '@countersign/spiffe';
import {
  formatImportListResponse,
  formatRotationResponse,
  parseImportListRequest,
  parseJsonBody,
  parseRotationRequest,
  routes,
} from '@countersign/wire';
import { encodePem } from '@countersign/x509';
import { takeRotationStep } from '../rotation/take-rotation-step.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';

/** An edge that holds a lease lets peers in under the roots that the feed has named to it: all of the bundle, or not yet. */
export async function noteRoots(
  { authority, anchors }: ApiContext,
  about: {
    readonly serialHex: string;
    readonly instance: string;
    readonly roots: readonly string[];
  },
): Promise<void> {
  const { serialHex, instance, roots } = about;
  const isWhole = anchors().every((each) => roots.includes(each));
  const digest = isWhole ? bundleDigest(authority.bundle()) : bundleLacking;
  await authority.noteBundle({ serialHex, instance, digest });
}

/** No bundle has it. */
const bundleLacking = '';

/** The trust bundle, and how its roots are replaced. */
export const bundleHandlers = {
  /** For anybody; whoever shows a certificate may say which bundle it has. */
  async bundle({ authority }: ApiContext, { caller, query }: ApiCall): Promise<ApiAnswer> {
    const unknown = [...query.keys()].find((each) => each !== 'holds');
    if (unknown !== undefined) {
      const detail = `bundle query has unknown "${unknown.slice(0, 80)}", expected "holds"`;
      return denial('ERR_WIRE_UNKNOWN_MEMBER', detail);
    }
    const digest = query.get('holds');
    if (digest !== null && !/^[0-9a-f]{64}$/.test(digest)) {
      const detail = `bundle query: holds "${digest.slice(0, 80)}" is no SHA-256 in lowercase hex`;
      return denial('ERR_WIRE_MESSAGE', detail);
    }
    if (digest !== null && caller.kind === 'peer') {
      await authority.noteBundle({ serialHex: caller.peer.serialHex, instance: '', digest });
    }
    return { ok: true, body: formatBundleDocument(authority.bundle()) };
  },

  bundlePem({ authority }: ApiContext): ApiAnswer {
    const anchors = authority.bundle().authorities;
    return { ok: true, body: anchors.map((each) => encodePem('CERTIFICATE', each.raw)).join('') };
  },

  async adminList({ authority, running }: ApiContext, { body }: ApiCall): Promise<ApiAnswer> {
    const json = parseJsonBody(body, 'import list request', routes.adminList.maxBodyBytes);
    const imported = await authority.importList(parseImportListRequest(json).list);
    if (!imported.ok) return imported;
    await running().publishing?.takeUpImported();
    await running().revoked?.look();
    const { ok: _, number, ...rest } = imported;
    return { ok: true, body: formatImportListResponse({ ...rest, number: String(number) }) };
  },

  async adminRotation({ authority }: ApiContext, { body }: ApiCall): Promise<ApiAnswer> {
    const { maxBodyBytes } = routes.adminRotation;
    const request = parseRotationRequest(parseJsonBody(body, 'rotation request', maxBodyBytes));
    const answer = await takeRotationStep(authority.rotation, request);
    if (!answer.ok) return answer;
    const { ok: _, ...response } = answer;
    return { ok: true, body: formatRotationResponse(response) };
  },
} as const;
