/** Runs SQL with the server's own client on a host: the harness itself does not reach the service network. */
import type { Host } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';
import { type DatabaseServer, postgresqlDatabase } from './database-server.ts';

/** Shell command that reads statements from standard input and prints rows as tab-separated lines. */
export function sqlClientCommand(server: DatabaseServer): string {
  const { host, port, user, password } = server;
  if (server.protocol === 'postgresql')
    return (
      `PGCONNECT_TIMEOUT=10 psql --no-psqlrc --no-password --set=ON_ERROR_STOP=1 --host=${quote(host)} --port=${port} ` +
      `--username=${quote(user)} --dbname=${postgresqlDatabase} --quiet --no-align --tuples-only --field-separator="$(printf '\\t')"`
    );
  // TLS off: the tested servers have no certificate that Debian 13's client would accept.
  return (
    `MYSQL_PWD=${quote(password)} mariadb --no-defaults --protocol=tcp --skip-ssl --connect-timeout=10 ` +
    `--host=${quote(host)} --port=${port} --user=${quote(user)} --batch --raw --skip-column-names`
  );
}

/**
 * Rows of all statements, as text fields.
 * @throws CodedError 'host' (`command-failed`) with the server's message
 */
export async function runSql(
  host: Host,
  server: DatabaseServer,
  statements: string,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<string[][]> {
  const { stdout } = await host.run(sqlClientCommand(server), { ...options, input: `${statements};\n` });
  return parseRows(stdout);
}

export function parseRows(stdout: string): string[][] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}
