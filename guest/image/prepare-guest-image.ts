/**
 * The guest: kernel, initial RAM disk and a disk with a database server and its tables. It is made in layers (packages,
 * data, disk), each cached by what it was made from, so that other tables need no packages again.
 */
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { machinePackages } from '../../scripts/debian-packages.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import { hashFiles, prepare, type Log } from '../../scripts/cache.ts';
import { ensurePackages } from '../../scripts/packages.ts';
import { confined } from './confined.ts';
import { prepareKernel } from './kernel.ts';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import { prepareRootTree, type RootTree } from './root-tree.ts';

interface GuestImageOptions {
  readonly dbms: DatabaseSystem;
  /** Number of sysbench tables: sbtest.sbtest1, sbtest2, ... */
  readonly tables: number;
  readonly rowsPerTable: number;
  /** TPC-C's tables in a schema `tpcc` in place of sysbench's; the script is sysbench's. */
  readonly tpcc?: { readonly script: string; readonly warehouses: number };
  readonly log: Log;
}

export interface GuestImage {
  readonly kernelPath: string;
  /** Base for `makeInitrd`; it boots by itself too, without ssh keys and agent. */
  readonly initrdPath: string;
  /** A raw, sparse ext4 file system. A cached file: copy it before a machine runs on it. */
  readonly diskPath: string;
  readonly serverVersion: string;
  readonly kernelVersion: string;
  /** Size of the tables' files. */
  readonly dataBytes: number;
  /** What the image was made from, for a run's manifest. */
  readonly manifest: Readonly<Record<string, string | number>>;
}

/** Room on the disk for what the server writes while it runs: redo and undo logs, temporary tables, growth. */
const slackBytes = 1.5 * 1024 ** 3;

const here = (name: string): string => path.join(import.meta.dirname, name);

interface ServerFiles {
  /** The script that makes the data directory, with what tells it the server. */
  readonly fill: readonly [script: string, ...args: string[]];
  /** In the guest. */
  readonly dataFolder: string;
  readonly configurationFolder: string;
  /** Size of the tables' files in a data directory. */
  readonly tableBytes: (data: string, schema: string) => Promise<number>;
}

const innodbFiles = {
  dataFolder: 'var/lib/mysql',
  configurationFolder: 'etc/mysql',
  tableBytes: (data: string, schema: string) =>
    filesBytes(path.join(data, schema), (name) => name.endsWith('.ibd')),
};

const serverFiles: Readonly<Record<DatabaseSystem, ServerFiles>> = {
  mariadb: { fill: [here('fill-data.sh'), 'mariadb'], ...innodbFiles },
  mysql: { fill: [here('fill-data.sh'), 'mysql'], ...innodbFiles },
  postgresql: {
    fill: [here('fill-postgresql.sh')],
    dataFolder: 'var/lib/postgresql',
    configurationFolder: 'etc/poolshift',
    // A folder a database, by its number; the newest database is the one with the tables.
    tableBytes: async (data) => {
      const databases = (await readdir(path.join(data, 'base'))).map(Number);
      return filesBytes(path.join(data, 'base', String(Math.max(...databases))), () => true);
    },
  },
};

/**
 * Needs root. Installs the packages that the build itself needs on this machine.
 *
 * @throws CodedError 'guest-image', or CodedError 'set-up' with it as its cause; CodedError 'set-up'
 */
export async function prepareGuestImage({
  dbms,
  tables,
  rowsPerTable,
  tpcc,
  log,
}: GuestImageOptions): Promise<GuestImage> {
  if (process.arch !== 'x64')
    throw new CodedError(
      'guest-image',
      'unsupported-machine',
      `guest images are made on x86-64 machines; this one is ${process.arch}`,
    );
  for (const [name, value] of Object.entries({ tables, rowsPerTable }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new CodedError(
        'guest-image',
        'bad-parameter',
        `${name} must be a positive integer, not ${value}`,
      );

  await ensurePackages(machinePackages.guestImage, log);
  const kernel = await prepareKernel(log);
  const root = await prepareRootTree(dbms, log);
  const data = await prepareData(root, {
    dbms,
    tables,
    rowsPerTable,
    ...(tpcc === undefined ? {} : { tpcc }),
    log,
  });
  const diskPath = await prepareDisk(root, data, dbms, log);
  return {
    kernelPath: kernel.kernelPath,
    initrdPath: kernel.initrdPath,
    diskPath,
    serverVersion: root.serverVersion,
    kernelVersion: kernel.version,
    dataBytes: data.dataBytes,
    manifest: {
      dbms,
      ...(tpcc === undefined ? { tables, rows_per_table: rowsPerTable } : { warehouses: tpcc.warehouses }),
      server_version: root.serverVersion,
      kernel_version: kernel.version,
      data_bytes: data.dataBytes,
      disk_bytes: (await stat(diskPath)).size,
      disk_path: diskPath,
      server_configuration: await readFile(here(`${dbms}.cnf`), 'utf8'),
      packages: root.packageVersions,
    },
  };
}

interface Data {
  readonly path: string;
  readonly dataBytes: number;
}

async function prepareData(
  root: RootTree,
  { dbms, tables, rowsPerTable, tpcc, log }: GuestImageOptions,
): Promise<Data> {
  const configuration = here(`${dbms}.cnf`);
  const { fill, tableBytes } = serverFiles[dbms];
  const [script] = fill;
  const entry = await prepare({
    name: `guest-data-${dbms}-${tpcc === undefined ? `${tables}x${rowsPerTable}` : `tpcc-${tpcc.warehouses}`}`,
    keyParts:
      tpcc === undefined
        ? [root.path, tables, rowsPerTable, await hashFiles([configuration, script])]
        : [root.path, tpcc.warehouses, await hashFiles([configuration, script, tpcc.script])],
    log,
    build: async (dir) => {
      const data = path.join(dir, 'data');
      await mkdir(data);
      const run = confined({ log });
      const filling =
        tpcc === undefined
          ? ['oltp', `${tables}`, `${rowsPerTable}`]
          : ['tpcc', tpcc.script, `${tpcc.warehouses}`];
      await run`sh ${fill} ${root.path} ${data} ${configuration} ${filling}`;
    },
  });
  const data = path.join(entry, 'data');
  return { path: data, dataBytes: await tableBytes(data, tpcc === undefined ? 'sbtest' : 'tpcc') };
}

async function filesBytes(dir: string, isCounted: (name: string) => boolean): Promise<number> {
  const files = (await readdir(dir)).filter(isCounted);
  const sizes = await Promise.all(files.map(async (name) => (await stat(path.join(dir, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function prepareDisk(root: RootTree, data: Data, dbms: DatabaseSystem, log: Log): Promise<string> {
  const configuration = here(`${dbms}.cnf`);
  const script = here('make-disk.sh');
  const { dataFolder, configurationFolder } = serverFiles[dbms];
  const entry = await prepare({
    name: `guest-disk-${dbms}`,
    keyParts: [root.path, data.path, slackBytes, await hashFiles([configuration, script])],
    log,
    build: async (dir) => {
      const disk = path.join(dir, 'disk.img');
      await writeFile(disk, '');
      await truncate(disk, (await treeBytes([root.path, data.path], log)) + slackBytes);
      const folders = [dataFolder, configurationFolder];
      await confined({ log })`sh ${script} ${root.path} ${data.path} ${configuration} ${disk} ${folders}`;
    },
  });
  return path.join(entry, 'disk.img');
}

/** Space that the trees take, in whole MiB. */
async function treeBytes(trees: readonly string[], log: Log): Promise<number> {
  const du = await confined({ log })`du -sm ${trees}`;
  const mebibytes = du.lines().reduce((sum, line) => sum + Number.parseInt(line, 10), 0);
  return mebibytes * 1024 ** 2;
}
