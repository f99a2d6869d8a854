import { routerJsonSchema } from '@countersign/router';
import type { Verb } from '../verb.ts';

/** `countersign router schema`: what editors complete and check router.yaml by. */
export const routerSchemaVerb: Verb = {
  define(command, cli) {
    command
      .addHelpText('after', '\nExample:\n  countersign router schema > router.schema.json')
      .action(async () => {
        await cli.out(`${JSON.stringify(routerJsonSchema(), null, 2)}\n`);
      });
  },
};
