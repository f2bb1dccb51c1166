/** The guest's file system without the databases: one tree for each database system. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';
import { confined } from './confined.ts';
import { type PackageSet, serverPackages } from '../../scripts/debian-packages.ts';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import { bootstrap } from './packages.ts';

export interface RootTree {
  readonly path: string;
  /** As the server states it: "10.11.19-MariaDB-0+deb12u1". */
  readonly serverVersion: string;
  /** Every package with its version, one a line. */
  readonly packageVersions: string;
}

const here = (name: string): string => path.join(import.meta.dirname, name);

/** What prints the server's version, and what makes the bootstrapped tree a guest's. */
const recipes: Readonly<
  Record<DatabaseSystem, { readonly server: string; readonly customize: readonly string[] }>
> = {
  mariadb: { server: 'mariadbd', customize: [here('customize-root.sh')] },
  mysql: { server: 'mysqld', customize: [here('customize-root.sh')] },
  postgresql: {
    server: 'postgres',
    customize: [here('customize-root.sh'), here('customize-postgresql-root.sh')],
  },
};

/** @param packages those of the guest, unless it is a tree to run another version's server from */
export async function prepareRootTree(
  dbms: DatabaseSystem,
  log: Log,
  packages: PackageSet = serverPackages[dbms],
): Promise<RootTree> {
  const { server, customize } = recipes[dbms];
  const entry = await prepare({
    name: `guest-root-${dbms}`,
    keyParts: [JSON.stringify(packages), await hashFiles(customize)],
    log,
    build: async (dir) => {
      const tree = path.join(dir, 'tree');
      await mkdir(tree);
      await bootstrap(tree, packages, { variant: 'minbase', customize, log });
      const run = confined({ log });
      const version = (await run`chroot ${tree} ${server} --version`).stdout.trim();
      await writeFile(
        path.join(dir, 'server-version'),
        `${/(?:Ver|\(PostgreSQL\)) (\S+)/.exec(version)?.[1] ?? version}\n`,
      );
      await writeFile(path.join(dir, 'packages'), (await run`chroot ${tree} dpkg-query -W`).stdout);
    },
  });
  return {
    path: path.join(entry, 'tree'),
    serverVersion: (await readFile(path.join(entry, 'server-version'), 'utf8')).trim(),
    packageVersions: await readFile(path.join(entry, 'packages'), 'utf8'),
  };
}
