/** Makes one file of a program that runs on hosts, so that they need nothing but Node 20 or newer. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, version } from 'esbuild';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';

/** Programs of this folder that run on hosts, and one that runs in a guest. */
type ProgramName = 'recorder' | 'ram-compare' | 'zero-pages' | 'age-memory';

/** Returns the path of the bundled program, from the cache if its sources and packages have not changed. */
export async function bundleProgram(name: ProgramName, log: Log): Promise<string> {
  const root = path.resolve(import.meta.dirname, '../..');
  const folder = await prepare({
    name,
    keyParts: [
      version,
      await hashFiles([
        import.meta.dirname,
        ...['qemu/qmp', 'foundation', 'guest/agent/postgresql', 'harness/workload/database-server.ts'].map(
          (name) => path.join(root, name),
        ),
      ]),
      await readFile(path.join(root, 'node_modules/mysql2/package.json'), 'utf8'),
    ],
    build: async (dir) => {
      await build({
        entryPoints: [path.join(import.meta.dirname, `${name}.ts`)],
        outfile: path.join(dir, `${name}.mjs`),
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'esm',
        // CommonJS packages ask for Node's modules by require.
        banner: {
          js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
        },
        // A debugging aid that mysql2 loads only if it is installed.
        external: ['cardinal'],
        logLevel: 'silent',
      });
    },
    log,
  });
  return path.join(folder, `${name}.mjs`);
}
