import {
  ConfigError,
  type ConfigIssue,
  type ConfigPath,
  configIssue,
  type SourceDocument,
} from '@countersign/config';
import { z } from 'zod';

/** `metadata` of a Kubernetes object; what a cluster adds is taken, so that `kubectl get -o yaml` can be pasted. */
export const metadataSchema = z.strictObject({
  name: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  /** Of policies that exclude each other the oldest counts. */
  creationTimestamp: z.string().nullish(),
  ...serverFields(),
});

export const securityApiSchema = z.enum(['security.istio.io/v1', 'security.istio.io/v1beta1']);

/** `selector`, `targetRef` and `targetRefs`, of which a policy has at most one. */
export const targetShape = {
  selector: z
    .strictObject({
      matchLabels: z
        .record(
          z
            .string()
            .min(1, 'a label without a name')
            .refine(hasNoStar, 'a label is compared whole, "*" stands for nothing in it'),
          z
            .string()
            .max(63)
            .refine(hasNoStar, 'a label is compared whole, "*" stands for nothing in it'),
        )
        .optional(),
    })
    .optional(),
  targetRef: targetRefSchema().optional(),
  targetRefs: z.array(targetRefSchema()).max(16).optional(),
};

/** Collects what is wrong with a document across its keys, so that it is mended in one go. */
export class DocumentIssues {
  readonly #document: SourceDocument;
  readonly #issues: ConfigIssue[] = [];

  constructor(document: SourceDocument) {
    this.#document = document;
  }

  add(path: ConfigPath, message: string, code: ConfigIssue['code'] = 'ERR_CONFIG_VALUE'): void {
    this.#issues.push(...configIssue(this.#document, path, code, message).issues);
  }

  /** @throws ConfigError with all of them, in file order */
  throwIfAny(): void {
    const sorted = this.#issues.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const [first, ...rest] = sorted;
    if (first !== undefined) throw new ConfigError(this.#document.file, [first, ...rest]);
  }
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function targetRefSchema() {
  return z.strictObject({
    group: z
      .string()
      .max(253)
      .regex(/^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)
      .optional(),
    kind: z
      .string()
      .max(63)
      .regex(/^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/),
    name: z.string().min(1).max(253),
    namespace: z
      .string()
      .refine((text) => text === '', 'a policy cannot target another namespace')
      .optional(),
  });
}

function hasNoStar(text: string): boolean {
  return !text.includes('*');
}

function serverFields() {
  const note = z.unknown().optional();
  return {
    generateName: note,
    uid: note,
    resourceVersion: note,
    generation: note,
    managedFields: note,
    ownerReferences: note,
    finalizers: note,
    selfLink: note,
  };
}
