import { CountersignError, messageOf } from '@countersign/base';
import {
  buildASTSchema,
  type DefinitionNode,
  type DocumentNode,
  GraphQLDeferDirective,
  GraphQLSchema,
  Kind,
  parse,
} from 'graphql';

/** What the specification gives every schema, so that it must not be defined again. */
const builtIn = new Set(['Boolean', 'Float', 'ID', 'Int', 'String']);
/** Directives that are there anyway, or say what is none of the callers' business. */
const withheld = new Set([
  'skip',
  'include',
  'deprecated',
  'specifiedBy',
  'oneOf',
  'allow',
  'deny',
  'authenticated',
  'requiresScopes',
  'policy',
]);

/**
 * The schema that callers see.
 *
 * @param sdl as the planner gives it: without what is inaccessible, and with the introspection types spelled out
 * @throws CountersignError ERR_ROUTER_SUPERGRAPH
 */
export function publicSchemaOf(sdl: string): GraphQLSchema {
  try {
    const document = parse(sdl, { noLocation: true });
    const isTrusted = { assumeValid: true, assumeValidSDL: true };
    const config = buildASTSchema(withoutBuiltIns(document), isTrusted).toConfig();
    // Deferring is a wish, granted to whoever takes an answer in parts. There is no @stream: subgraphs give lists whole.
    const directives = [...config.directives, GraphQLDeferDirective];
    return new GraphQLSchema({ ...config, directives, assumeValid: true });
  } catch (thrown) {
    throw new CountersignError(
      'ERR_ROUTER_SUPERGRAPH',
      `schema of the supergraph: ${messageOf(thrown)}`,
      { cause: thrown },
    );
  }
}

function withoutBuiltIns(document: DocumentNode): DocumentNode {
  return {
    ...document,
    definitions: document.definitions.filter(isOwn).map((definition) => {
      if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION) return definition;
      const fields = definition.fields?.filter(({ name }) => !name.value.startsWith('__'));
      return fields === undefined ? definition : { ...definition, fields };
    }),
  };
}

function isOwn(definition: DefinitionNode): boolean {
  if (!('name' in definition) || definition.name === undefined) return true;
  const name = definition.name.value;
  if (name.startsWith('__')) return false;
  if (definition.kind === Kind.DIRECTIVE_DEFINITION) return !withheld.has(name);
  return definition.kind !== Kind.SCALAR_TYPE_DEFINITION || !builtIn.has(name);
}
