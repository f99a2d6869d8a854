export { ConfigError, type ConfigIssue, checkAll, formatIssue } from './config-error.ts';
export { durationSchema } from './duration-schema.ts';
export {
  issuerSchema,
  signerSchema,
  superiorSchema,
  type WrittenIssuer,
  type WrittenSigner,
  type WrittenSuperior,
} from './issuer-schema.ts';
export {
  configIssue,
  parseConfigText,
  readConfigText,
  readDocument,
  unsupported,
} from './read-document.ts';
export {
  type ConfigPath,
  type Position,
  parseYamlDocuments,
  type SourceDocument,
  type YamlLimits,
} from './source-document.ts';
