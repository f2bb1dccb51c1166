/** The root file system that all four containers of the local lab share, each below an overlay of its own. */
import { copyFile, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { bootstrap } from '../../../guest/image/packages.ts';
import { type Log, hashFiles, prepare } from '../../../scripts/cache.ts';
import { type PackageSet, bootPackages } from '../../../scripts/debian-packages.ts';
import { progressOnly, provisionHooks, provisionScript } from '../../../vagrant/provision.ts';

/**
 * Units that a host has and a container in which only ssh is wanted does without: a lab is up in two thirds of the time.
 * Without logind no login starts a user's manager.
 */
const masked = [
  ...[
    'console-getty.service',
    'dev-hugepages.mount',
    'ldconfig.service',
    'systemd-journal-catalog-update.service',
  ],
  ...[
    'systemd-journal-flush.service',
    'systemd-logind.service',
    'systemd-remount-fs.service',
    'systemd-sysctl.service',
  ],
  ...[
    'systemd-sysusers.service',
    'systemd-tmpfiles-setup-dev-early.service',
    'systemd-tmpfiles-setup-dev.service',
  ],
  ...['systemd-update-done.service', 'systemd-update-utmp.service'],
] as const;

const packages: PackageSet = { suite: 'trixie', packages: bootPackages };

/** Returns the folder of the root file system; makes it first if there is none. Needs root and mmdebstrap. */
export async function prepareRootfs(log: Log): Promise<string> {
  return prepare({
    name: 'hosts',
    keyParts: [
      packages.suite,
      ...packages.packages,
      ...masked,
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
      for (const unit of masked) await symlink('/dev/null', path.join(dir, 'etc/systemd/system', unit));
      const node = path.join(dir, 'usr/local/bin/node');
      await rm(node, { force: true });
      await copyFile(process.execPath, node);
    },
  });
}
