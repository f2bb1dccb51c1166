/** Reads hosts.yaml. What is wrong with it is said with its line. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { LineCounter, type ParsedNode, isMap, isNode, parseDocument } from 'yaml';
import type { z } from 'zod';
import { CodedError } from '../../../foundation/coded-error.ts';
import { hostNames } from '../host.ts';
import { type Inventory, type InventorySsh, inventorySchema } from './schema.ts';

/** @throws CodedError 'inventory', 'invalid' for a file that cannot be read or is no inventory */
export async function readInventory(file: string): Promise<Inventory> {
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (error) {
    throw new CodedError(
      'inventory',
      'invalid',
      `${file}: cannot be read: ${error instanceof Error ? error.message : ''}`,
      {
        cause: error,
      },
    );
  }
  return parseInventory(content, file);
}

/**
 * @param file names the inventory in messages, and its folder is where relative paths start
 * @throws CodedError 'inventory', 'invalid'
 */
export function parseInventory(content: string, file: string): Inventory {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, merge: true, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined)
    throw new CodedError(
      'inventory',
      'invalid',
      `${file}:${lines.linePos(error.pos[0]).line}: ${error.message}`,
    );
  // toJS fails where an alias names no anchor.
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    throw new CodedError('inventory', 'invalid', `${file}: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
  const parsed = inventorySchema.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const line = lines.linePos(offsetOf(document.contents, issue)).line;
      const place = issue.path.length === 0 ? '' : ` ${issue.path.join('.')}:`;
      return `${file}:${line}:${place} ${issue.message}`;
    });
    throw new CodedError('inventory', 'invalid', problems.join('\n'));
  }
  return withAbsolutePaths(parsed.data, path.dirname(path.resolve(file)));
}

/** Where the issue's value starts, or that of the nearest mapping around a value that is missing. */
function offsetOf(contents: ParsedNode | null, issue: z.core.$ZodIssue): number {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  let node: unknown = contents;
  let offset = contents?.range[0] ?? 0;
  for (const key of [...issue.path, ...unknown]) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isNode(item.key) && String(item.key) === String(key));
    if (pair === undefined) break;
    if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}

function withAbsolutePaths(inventory: Inventory, folder: string): Inventory {
  const absolute = (file: string): string =>
    file.startsWith('~/') ? path.join(homedir(), file.slice(2)) : path.resolve(folder, file);
  const sshOf = ({ identityFile, identityAgent, knownHostsFile, ...rest }: InventorySsh): InventorySsh => ({
    ...rest,
    ...(identityFile === undefined ? {} : { identityFile: absolute(identityFile) }),
    // A name that ssh knows, for the agent of the environment.
    ...(identityAgent === undefined
      ? {}
      : { identityAgent: identityAgent === 'SSH_AUTH_SOCK' ? identityAgent : absolute(identityAgent) }),
    ...(knownHostsFile === undefined ? {} : { knownHostsFile: absolute(knownHostsFile) }),
  });
  const hosts = Object.fromEntries(
    hostNames.map((name) => {
      const host = inventory.hosts[name];
      return [name, { ...host, ssh: sshOf(host.ssh) }];
    }),
  ) as Inventory['hosts'];
  return { ...inventory, hosts };
}
