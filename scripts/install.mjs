// Installs the node packages, for start.mjs: one command at a time, whatever has become of the ones before.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';

/** The Node that comes with the packages. */
export const nodeOf = (root) => path.join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');

const stampOf = (root) => path.join(root, 'node_modules', '.poolshift-installed');

/** What was not finished has no stamp; what lost its Node since is not whole either. */
const isInstalled = (root, wanted) =>
  existsSync(stampOf(root)) && readFileSync(stampOf(root), 'utf8') === wanted && existsSync(nodeOf(root));

/**
 * A shell that holds the lock and then runs one command in a process group of its own. When its input ends, because the
 * command that installs has had a signal or was killed, even with -9, it ends that whole group. All that is started under the
 * lock has it open, so that it is free only when the last of them has gone: nobody ever meets an npm that is still at work.
 */
const holder = `
exec 9>> "$1"
shift
flock --nonblock 9 || { echo waiting; flock 9 || exit 1; }
echo held
read -r go || exit 0
exec 3<&0
setsid "$@" < /dev/null >&2 3<&- &
command=$!
{ cat <&3; kill -TERM -- -$command; sleep 3; kill -KILL -- -$command; } > /dev/null 2>&1 9>&- &
watcher=$!
wait $command
status=$?
kill $watcher
echo "ended $status"
cat <&3 > /dev/null
`;

/**
 * Makes sure that the packages are there; `say` gets lines for the user.
 *
 * @throws Error that says what is wrong; the signal's reason when it aborts, and then nothing of npm is left
 */
export async function install(root, say, signal) {
  const packages = readFileSync(path.join(root, 'npm-shrinkwrap.json'));
  const wanted = createHash('sha256').update(packages).update(process.arch).digest('hex');
  if (isInstalled(root, wanted)) return;
  const child = spawn(
    'bash',
    [
      ...['-c', holder, 'bash'],
      // Beside node_modules, which npm ci removes.
      path.join(root, '.poolshift-install.lock'),
      ...['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    ],
    // A Ctrl-C in the terminal must not end the lock before npm.
    { cwd: root, stdio: ['pipe', 'pipe', 2], detached: true },
  );
  const ended = new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`bash could not be started: ${error.message}`)));
    child.once('close', resolve);
  });
  ended.catch(() => undefined);
  child.stdin.on('error', () => undefined);
  let running = false;
  const stop = () => {
    child.stdin.end();
    // One that waits for the lock does not look at its input.
    if (!running) process.kill(-child.pid, 'SIGTERM');
  };
  signal.addEventListener('abort', stop, { once: true });
  let status;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'waiting') say('another command installs the node packages; waiting for it');
    else if (line === 'held' && isInstalled(root, wanted)) status = '0';
    else if (line === 'held' && !signal.aborted) {
      const count = Object.keys(JSON.parse(packages.toString()).packages).length - 1;
      say(`installing up to ${count} node packages with npm ci (no install scripts)`);
      rmSync(stampOf(root), { force: true });
      running = true;
      child.stdin.write('go\n');
    } else if (line.startsWith('ended ')) {
      status = line.slice('ended '.length);
      // Still under the lock, last of all, and whole or not at all.
      if (status === '0' && existsSync(nodeOf(root))) {
        writeFileSync(`${stampOf(root)}.new`, wanted);
        renameSync(`${stampOf(root)}.new`, stampOf(root));
      }
    }
    if (status !== undefined) child.stdin.end();
  }
  await ended;
  signal.throwIfAborted();
  if (status === undefined) throw new Error('the lock of the installation could not be taken (flock)');
  if (status === '127') throw new Error('npm could not be started; on Debian: apt-get install npm');
  if (status !== '0') throw new Error(`npm ci failed with exit code ${status}; its output is above`);
  if (!existsSync(nodeOf(root))) throw new Error(`npm ci has not installed ${nodeOf(root)}`);
}
