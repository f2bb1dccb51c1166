/** Starts and stops the lab's keeper process, in whose namespaces everything of the lab is: it goes with the keeper. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CodedError } from '../../../foundation/coded-error.ts';
import { type Log, cacheRoot } from '../../../scripts/cache.ts';
import { type FileLock, takeLock } from '../../../scripts/lock.ts';
import { labWaitMs } from '../lab-wait.ts';
import { sshConfig } from '../ssh-config.ts';
import { exportFolder, labFolder, labLockFile, sshConfigPath } from './lab-folder.ts';
import { makeKeys } from './lab-keys.ts';
import { type NetworkRates, labSshEntries } from './lab-network.ts';
import {
  type LabState,
  currentLab,
  describeLab,
  isAlive,
  processStartTime,
  writeState,
} from './lab-state.ts';
import { removeLeftovers } from './leftovers.ts';

const run = promisify(execFile);

interface StartedLab {
  readonly state: LabState;
  /** Stays up when this process ends. */
  keep(): Promise<void>;
}

interface StartLabOptions {
  readonly rootfs: string;
  readonly owner: string;
  readonly rates: NetworkRates;
  readonly log: Log;
}

/** @throws CodedError 'lab', 'needs-root' */
export function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new CodedError(
      'lab',
      'needs-root',
      'the local lab needs root: it makes namespaces, containers and mounts; run this as root',
    );
}

/**
 * Waits until no lab is up, for as long as the environment variable POOLSHIFT_LAB_WAIT says in minutes (default 0):
 * tests that need the lab queue up with it.
 * @throws CodedError 'lab', 'already-up'
 */
export async function waitForRoom(log: Log): Promise<void> {
  const deadlineMs = performance.now() + labWaitMs();
  for (let said = ''; ;) {
    const other = await currentLab();
    if (other === undefined) return;
    const description = describeLab(other);
    if (performance.now() >= deadlineMs)
      throw new CodedError('lab', 'already-up', `${description}; take it down with: npm run lab -- down`);
    if (description !== said) log(`${description}; waiting for it to end`);
    said = description;
    await sleep(1000);
  }
}

/** Starting and stopping are one at a time on a machine. */
function takeLabLock(): Promise<FileLock> {
  return takeLock(labLockFile, () => undefined);
}

/**
 * Starts the keeper; the hosts are booting when this returns.
 * @throws CodedError 'lab', 'already-up', 'start-failed', 'needs-root'
 */
export async function startLab(options: StartLabOptions): Promise<StartedLab> {
  requireRoot();
  for (;;) {
    await waitForRoom(options.log);
    const lock = await takeLabLock();
    try {
      // Another process may have come first.
      if ((await currentLab()) === undefined) return await startKeeper(options);
    } finally {
      await lock.release();
    }
  }
}

async function startKeeper({ rootfs, owner, rates }: StartLabOptions): Promise<StartedLab> {
  await removeLeftovers();
  await mkdir(labFolder, { recursive: true, mode: 0o700 });
  await mkdir(exportFolder(), { recursive: true });
  await makeKeys();

  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  const script = path.join(import.meta.dirname, 'keeper.sh');
  const keeper = spawn(
    'unshare',
    [
      ...[...namespaces, '--propagation', 'private', '--'],
      ...['bash', script, labFolder, rootfs, cacheRoot(), exportFolder()],
    ],
    // A session of its own: a Ctrl-C in the terminal is for the harness, which takes the lab down in good order.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  const errors: string[] = [];
  createInterface({ input: keeper.stderr }).on('line', (line) => errors.push(line));
  try {
    await firstLine(keeper);
  } catch (error) {
    throw new CodedError(
      'lab',
      'start-failed',
      `the lab's namespaces could not be set up:\n${errors.slice(-10).join('\n')}`,
      {
        cause: error,
      },
    );
  }
  const keeperPid = childOf(keeper.pid ?? 0);
  const state: LabState = {
    keeperPid,
    keeperStartTime: processStartTime(keeperPid) ?? '',
    ownerPid: process.pid,
    owner,
    startedAt: new Date().toISOString(),
    kept: false,
    rates,
  };
  await writeFile(
    sshConfigPath,
    // In a session of its own: a Ctrl-C in the terminal is for the harness and must not cut the connection. In the
    // keeper's process namespace, so that nothing of a dead lab waits for an answer.
    sshConfig(
      labFolder,
      labSshEntries(labFolder, `setsid nsenter --target ${keeperPid} --net --pid socat - TCP:%h:%p`),
    ),
  );
  await writeState(state);
  return {
    state,
    keep: async () => {
      keeper.stdin.end('keep\n');
      await writeState({ ...((await currentLab()) ?? state), kept: true });
      // Nothing of the keeper may hold this process back.
      keeper.unref();
      for (const stream of [keeper.stdout, keeper.stderr]) stream.destroy();
    },
  };
}

async function firstLine(keeper: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  keeper.stdout?.once('data', () => {
    resolve(undefined);
  });
  keeper.once('error', reject);
  keeper.once('close', (code) => {
    reject(new Error(`keeper ended with ${code ?? 'a signal'}`));
  });
  await promise;
}

/** `unshare --fork` has one child, the keeper. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

/**
 * Takes a lab down, or whichever is up on this machine, whoever started it. Idempotent: does nothing when that lab is
 * gone and another has taken its place.
 */
export async function stopLab(own?: LabState): Promise<void> {
  const lock = await takeLabLock();
  try {
    const lab = await currentLab();
    if (own !== undefined && lab !== undefined && lab.keeperPid !== own.keeperPid) return;
    if (lab !== undefined) await killKeeper(lab);
    await removeLeftovers();
  } finally {
    await lock.release();
  }
}

/** Removes what a killed lab has left; does nothing while one is up. */
export async function clearLeftovers(): Promise<void> {
  const lock = await takeLabLock();
  try {
    if ((await currentLab()) === undefined) await removeLeftovers();
  } finally {
    await lock.release();
  }
}

async function killKeeper(lab: LabState): Promise<void> {
  // Masters would linger until their connection times out.
  const masters = (await readdir(labFolder)).filter((entry) => entry.startsWith('m-'));
  await Promise.all(
    masters.map((entry) =>
      run('ssh', ['-F', sshConfigPath, '-O', 'exit', entry.slice(2)], { timeout: 2000 }).catch(
        () => undefined,
      ),
    ),
  );
  process.kill(lab.keeperPid, 'SIGKILL');
  for (let attempt = 0; attempt < 200 && isAlive(lab); attempt += 1) await sleep(25);
}
