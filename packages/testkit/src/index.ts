export { type BaoServer, baoMissing, startBao } from './bao-server.ts';
export {
  type ForeignCommand,
  type ForeignServer,
  foreign,
  foreignPackage,
  giveTo,
  mariadbCommand,
  natsCommand,
  postgresCommand,
  programOf,
  redisCommand,
  type ServedIdentity,
  startForeign,
  writeServerFiles,
} from './foreign-servers.ts';
export { freePort } from './free-port.ts';
export {
  awsDocument,
  awsRegion,
  azureDocument,
  azureService,
  azureTime,
  type DocumentSigner,
  gcpClaims,
} from './instance-documents.ts';
export { type PebbleServer, pebbleMissing, startPebble } from './pebble-server.ts';
export {
  type PostgresControl,
  type PostgresOptions,
  type PostgresServer,
  postgresServer,
} from './postgres-server.ts';
export {
  type SoftTpmServer,
  softTpmServerMissing,
  startSoftTpmServer,
} from './soft-tpm-server.ts';
export { type StepCaServer, startStepCa, stepCaMissing } from './step-ca-server.ts';
export { type TestCa, type TestCaOptions, type TestCrlOptions, testCa } from './test-ca.ts';
export type { Mutations, TestCredential } from './test-certificate.ts';
export { type TestClock, testClock } from './test-clock.ts';
export { startTestDns, type TestDns } from './test-dns.ts';
export { testKey } from './test-key.ts';
export { type TestStatement, type TestTpm, testTpm } from './test-tpm.ts';
