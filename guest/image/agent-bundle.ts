/** The guest agent as one file that Debian's Node 18 runs: `node guest/image/agent-bundle.ts` prints where it is. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, version as esbuildVersion } from 'esbuild';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';

const repository = path.join(import.meta.dirname, '../..');
const agentFolder = path.join(repository, 'guest/agent');
const sharedFolders = ['engine/list', 'foundation'].map((folder) => path.join(repository, folder));

/**
 * How Node should be started, so that the agent takes little memory: the columns of a list go back to the kernel when they
 * are freed (glibc else raises this threshold up to 32 MiB), and V8's young generation stays small. guest-init.sh and the
 * unit in docs/agent.md say the same.
 */
export const agentStart = {
  nodeOptions: ['--max-semi-space-size=1'],
  environment: { MALLOC_MMAP_THRESHOLD_: '131072' },
} as const;

/**
 * Bundles the agent, or finds the bundle of the same sources in the cache. Gives the file's path.
 * @throws CodedError 'set-up'
 */
export async function bundleAgent(log: Log): Promise<string> {
  const name = 'agent.js';
  const folder = await prepare({
    name: 'guest-agent',
    keyParts: [esbuildVersion, await hashFiles([agentFolder, ...sharedFolders, import.meta.filename])],
    log,
    build: async (dir) => {
      await build({
        entryPoints: [path.join(agentFolder, 'main.ts')],
        outfile: path.join(dir, name),
        bundle: true,
        platform: 'node',
        target: 'node18',
        // CommonJS: a .js file without a package.json beside it is that for every Node.
        format: 'cjs',
        legalComments: 'none',
        banner: { js: await licenseComment() },
        logLevel: 'silent',
      });
    },
  });
  return path.join(folder, name);
}

async function licenseComment(): Promise<string> {
  const { license } = JSON.parse(await readFile(path.join(repository, 'package.json'), 'utf8')) as {
    readonly license: string;
  };
  return `// Poolshift guest agent. SPDX-License-Identifier: ${license}`;
}

if (import.meta.main) console.log(await bundleAgent(console.error));
