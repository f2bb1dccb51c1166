/** The key by which the two engines of one migration know each other, on both hosts for as long as it takes. */
import { randomUUID } from 'node:crypto';
import { makeKey } from '../../../engine/wire/pre-shared-key.ts';
import type { Testbed } from '../../testbed/host.ts';
import { quote } from '../../../foundation/shell.ts';

const sides = ['src', 'dst'] as const;

export interface EngineKey {
  /** The same on both hosts. */
  readonly path: string;
  /** Idempotent; never rejects: a host that is gone has no key to keep. */
  remove(): Promise<void>;
}

/** Brings a new key to both VM hosts: by way of standard input, where no list of processes shows it. @throws CodedError 'host' */
export async function bringEngineKey({ hosts }: Pick<Testbed, 'hosts'>): Promise<EngineKey> {
  const folder = `/run/poolshift/key-${randomUUID()}`;
  const path = `${folder}/key`;
  const key: EngineKey = {
    path,
    remove: async () => {
      const removals = sides.map((side) => hosts[side].run(`rm -rf ${quote(folder)}`));
      await Promise.allSettled(removals);
    },
  };
  const text = `${makeKey()}\n`;
  try {
    for (const side of sides) {
      await hosts[side].run(
        `set -e; umask 077; mkdir -p /run/poolshift; mkdir ${quote(folder)}; cat > ${quote(path)}`,
        { input: text },
      );
    }
  } catch (error) {
    await key.remove();
    throw error;
  }
  return key;
}
