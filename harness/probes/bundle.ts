/** Makes one file of the recorder, so that a host needs nothing but Node 20 or newer to run it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, version } from 'esbuild';
import { hashFiles, prepare, type Log } from '../../setup/cache.ts';

/** Returns the path of the bundled recorder, from the cache if its sources and packages have not changed. */
export async function bundleRecorder(log: Log): Promise<string> {
  const root = path.resolve(import.meta.dirname, '../..');
  const folder = await prepare({
    name: 'recorder',
    keyParts: [
      version,
      await hashFiles([import.meta.dirname]),
      await readFile(path.join(root, 'node_modules/mysql2/package.json'), 'utf8'),
    ],
    build: async (dir) => {
      await build({
        entryPoints: [path.join(import.meta.dirname, 'recorder.ts')],
        outfile: path.join(dir, 'recorder.js'),
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'cjs',
        // A debugging aid that mysql2 loads only if it is installed.
        external: ['cardinal'],
        logLevel: 'silent',
      });
    },
    log,
  });
  return path.join(folder, 'recorder.js');
}
