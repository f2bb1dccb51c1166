/** Server and QEMU of a run, with their versions, as reports name them. Pure. */
import type { Run } from './read-set.ts';

const serverTitles: Readonly<Record<string, string>> = {
  mariadb: 'MariaDB',
  mysql: 'MySQL',
  postgresql: 'PostgreSQL',
};

const versionIn = (words = ''): string => /\d+(\.\d+)+/.exec(words)?.[0] ?? '?';

/** "MariaDB 10.11.19" */
export const serverText = ({ row: { dbms = '' }, manifest: { versions } }: Run): string =>
  `${serverTitles[dbms] ?? dbms} ${versionIn(versions.databaseServer)}`;

/** "QEMU 10.0.13 (tcg)" */
export const qemuText = ({ row: { accelerator = '' }, manifest: { versions } }: Run): string =>
  `QEMU ${versionIn(versions.qemu)} (${accelerator})`;
