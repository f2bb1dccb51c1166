import test from 'ava';
import { sqlClientCommand } from '../workload/sql-client.ts';
import { hostError } from './host-error.ts';

const messageOf = (command: string): string =>
  hostError('command-failed', { host: 'client', command, exitCode: 1, output: 'refused' }).message;

test('an error names the command and its output, and no password', (t) => {
  const server = {
    protocol: 'mysql' as const,
    host: '10.30.0.10',
    port: 3306,
    user: 'sbtest',
    password: "it's a secret",
  };
  const message = messageOf(sqlClientCommand(server));
  t.regex(message, /^on client: exit code 1: MYSQL_PWD=… mariadb --no-defaults .*\nrefused$/);
  t.is(
    messageOf('sysbench --mysql-user=sbtest --mysql-password=secret run'),
    'on client: exit code 1: sysbench --mysql-user=sbtest --mysql-password=… run\nrefused',
  );
});

test('a long script is cut', (t) => {
  t.regex(
    messageOf(`set -eu\n${'true\n'.repeat(100)}`),
    /^on client: exit code 1: set -eu true .*…\nrefused$/,
  );
});
