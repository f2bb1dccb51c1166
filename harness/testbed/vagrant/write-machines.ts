/** `node scripts/start.mjs harness/testbed/vagrant/write-machines.ts [FILE]`: checks vagrant/testbed.ts, writes machines.json. */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { vagrantTestbed } from '../../../vagrant/testbed.ts';
import { vagrantMachines } from './machines.ts';

const file = path.resolve(
  process.argv[2] ?? path.join(import.meta.dirname, '../../../vagrant/machines.json'),
);
try {
  await writeFile(`${file}.new`, `${JSON.stringify(vagrantMachines(vagrantTestbed), undefined, 2)}\n`);
  await rename(`${file}.new`, file);
  console.log(`wrote ${file}`);
} catch (error) {
  if (!(error instanceof z.ZodError)) throw error;
  console.error(`vagrant/testbed.ts is wrong:\n${z.prettifyError(error)}`);
  process.exitCode = 2;
}
