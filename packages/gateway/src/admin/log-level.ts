export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The least level that is logged, while it runs. */
export interface LogLevelControl {
  get(): string;
  set(level: LogLevel): void;
}
