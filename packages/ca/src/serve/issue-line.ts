import type { IssueQueue } from './issue-queue.ts';

/** Where orders of a door wait for their turn among all others. */
export type IssueLine = Pick<IssueQueue, 'serve'>;

/** Of a door that nobody else stands before. */
export const noLine: IssueLine = { serve: async (_, work) => await work() };
