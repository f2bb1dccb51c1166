/** Debian packages that this machine itself needs; everything else lives in the hosts' and the guest's own trees. */
import { $ } from 'zx';
import { CodedError } from '../foundation/coded-error.ts';
import type { Log } from './cache.ts';
import { takeLock } from './lock.ts';

const run = $({
  quiet: true,
  nothrow: true,
  stdio: ['ignore', 'pipe', 'pipe'],
  env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
});

/**
 * Installs those of the packages that are missing, after saying which.
 * @throws CodedError 'set-up'
 */
export async function ensurePackages(names: readonly string[], log: Log): Promise<void> {
  const missing = await missingPackages(names);
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) {
    throw new CodedError(
      'set-up',
      'not-root',
      `root is needed to install Debian packages (${missing.join(' ')}), and to make namespaces, containers and mounts; run this as root`,
    );
  }
  // Two commands that start at once would trip over apt's own locks.
  const lock = await takeLock('/run/lock/poolshift-apt.lock', (holder) => {
    log(`process ${holder} is installing Debian packages; waiting`);
  });
  try {
    await install(await missingPackages(missing), log);
  } finally {
    await lock.release();
  }
}

async function install(missing: readonly string[], log: Log): Promise<void> {
  if (missing.length === 0) return;
  log(`installing Debian packages: ${missing.join(' ')}`);
  for (const command of [['update'], ['-y', '--no-install-recommends', 'install', ...missing]]) {
    const output = await run`apt-get -q ${command}`;
    if (output.exitCode === 0) continue;
    const tail = output.stderr.trim().split('\n').slice(-10).join('\n');
    throw new CodedError(
      'set-up',
      'install-failed',
      `apt-get could not install ${missing.join(' ')}:\n${tail}`,
      { cause: output },
    );
  }
}

async function missingPackages(names: readonly string[]): Promise<readonly string[]> {
  const output = await run`dpkg-query --show --showformat ${'${Package} ${db:Status-Status}\n'} ${names}`;
  // Exits with 1 when a package is unknown, and still prints the others.
  if (output.exitCode !== 0 && output.exitCode !== 1)
    throw new CodedError(
      'set-up',
      'not-debian',
      'dpkg-query could not be run: the local lab needs Debian 12 or 13',
      { cause: output },
    );
  const installed = new Set(
    output
      .lines()
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}
