/** The bundled engine from the cache; made again if its sources or its packages have changed. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { bundleEngine } from '../../../engine/cli/bundle.ts';
import { type Log, hashFiles, prepare } from '../../../scripts/cache.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const fileName = 'engine.mjs';

/** Returns the path of the bundle. @throws CodedError 'set-up' */
export async function prepareEngine(log: Log): Promise<string> {
  const folder = await prepare({
    name: 'engine',
    keyParts: [
      await hashFiles([path.join(root, 'engine'), path.join(root, 'foundation')]),
      await readFile(path.join(root, 'npm-shrinkwrap.json'), 'utf8'),
    ],
    build: (dir) => bundleEngine(path.join(dir, fileName)),
    log,
  });
  return path.join(folder, fileName);
}
