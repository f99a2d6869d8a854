export * from './feed-frame.ts';
export * from './issue-messages.ts';
export * from './join-token.ts';
export * from './lease-messages.ts';
export { parseJsonBody } from './read-message.ts';
export * from './revoke-messages.ts';
export * from './routes.ts';
export * from './status-response.ts';
