/** The engine as one file, so that a host needs nothing but Node to run it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, version } from 'esbuild';
import { type Log, hashFiles, prepare } from '../../../setup/cache.ts';

const root = path.resolve(import.meta.dirname, '../../..');

/** Returns the path of the bundled engine, from the cache if neither its sources nor its packages have changed. */
export async function bundleEngine(log: Log): Promise<string> {
  const folder = await prepare({
    name: 'engine',
    keyParts: [
      version,
      await hashFiles([path.join(root, 'engine')]),
      await readFile(path.join(root, 'package-lock.json'), 'utf8'),
    ],
    build: async (dir) => {
      await build({
        entryPoints: [path.join(root, 'engine/cli/main.ts')],
        outfile: path.join(dir, 'engine.mjs'),
        bundle: true,
        platform: 'node',
        target: 'node24',
        format: 'esm',
        // commander is CommonJS and asks for Node's modules by require.
        banner: {
          js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
        },
        logLevel: 'silent',
      });
    },
    log,
  });
  return path.join(folder, 'engine.mjs');
}
