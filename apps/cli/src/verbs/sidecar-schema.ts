import { sidecarJsonSchema } from '@countersign/gateway';
import type { Verb } from '../verb.ts';

/** `countersign sidecar schema`: what editors complete and check sidecar.yaml by. */
export const sidecarSchemaVerb: Verb = {
  define(command, cli) {
    command
      .addHelpText('after', '\nExample:\n  countersign sidecar schema > sidecar.schema.json')
      .action(async () => {
        await cli.out(`${JSON.stringify(sidecarJsonSchema(), null, 2)}\n`);
      });
  },
};
