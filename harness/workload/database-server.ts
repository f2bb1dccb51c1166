import type { DatabaseSystem } from '../../foundation/database-systems.ts';

/** How a client reaches the database server in the VM, over the service network. */
export interface DatabaseServer {
  /** Which language and protocol it speaks: MariaDB has MySQL's. */
  readonly protocol: 'mysql' | 'postgresql';
  /** IPv4 address, without prefix length. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** PostgreSQL's server in the guest asks for none. */
  readonly password: string;
}

/** The server in a guest of ours. @param host its address */
export function guestServer(dbms: DatabaseSystem, host: string): DatabaseServer {
  const account = { host, user: 'sbtest', password: 'sbtest' };
  return dbms === 'postgresql'
    ? { protocol: 'postgresql', port: 5432, ...account }
    : { protocol: 'mysql', port: 3306, ...account };
}

/** PostgreSQL's sessions are with one database: of a guest of ours, the one with all tables. */
export const postgresqlDatabase = 'sbtest';
