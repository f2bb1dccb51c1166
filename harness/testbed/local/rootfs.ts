/** The root file system that all four containers of the local lab share, each below an overlay of its own. */
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { bootstrap } from '../../../guest/image/packages.ts';
import { type Log, hashFiles, prepare } from '../../../scripts/cache.ts';
import { type PackageSet, bootPackages } from '../../../scripts/debian-packages.ts';
import { progressOnly, provisionHooks, provisionScript } from '../../../vagrant/provision.ts';

const packages: PackageSet = { suite: 'trixie', packages: bootPackages };

/** Returns the folder of the root file system; makes it first if there is none. Needs root and mmdebstrap. */
export async function prepareRootfs(log: Log): Promise<string> {
  return prepare({
    name: 'hosts',
    keyParts: [
      packages.suite,
      ...packages.packages,
      await hashFiles([provisionScript]),
      process.versions.node,
      process.arch,
    ],
    log,
    build: async (dir) => {
      await bootstrap(dir, packages, {
        variant: 'minbase',
        customize: provisionHooks('lab'),
        log: progressOnly((line) => {
          log(`hosts: ${line}`);
        }),
      });
      const node = path.join(dir, 'usr/local/bin/node');
      await rm(node, { force: true });
      await copyFile(process.execPath, node);
    },
  });
}
