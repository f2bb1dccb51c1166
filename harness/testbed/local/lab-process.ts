/**
 * The lab's keeper process and what it leaves on the machine: /run/poolshift (keys, ssh configuration, logs, state) and
 * empty cgroup folders. Everything else is in the keeper's namespaces and goes with it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { cacheRoot } from '../../../setup/cache.ts';
import { LabError } from './lab-error.ts';
import { sshConfig } from './lab-network.ts';

const run = promisify(execFile);

export const labFolder = '/run/poolshift';
const stateFile = path.join(labFolder, 'lab.json');
export const sshConfigPath = path.join(labFolder, 'ssh_config');
const exportFolder = (): string => path.join(cacheRoot(), 'export');

const stateSchema = z.object({
  /** Process that joins a command to the lab's namespaces: the keeper, as this machine sees it. */
  keeperPid: z.number().int(),
  /** Field 22 of /proc/PID/stat, which tells a pid that was used again. */
  keeperStartTime: z.string(),
  ownerPid: z.number().int(),
  /** What the user ran. */
  owner: z.string(),
  startedAt: z.iso.datetime(),
  kept: z.boolean(),
  rates: z.object({
    migration: z.number().optional(),
    storage: z.number().optional(),
    service: z.number().optional(),
  }),
});

export type LabState = z.infer<typeof stateSchema>;

/** The lab that is up on this machine, if any. */
export async function currentLab(): Promise<LabState | undefined> {
  const text = await readFile(stateFile, 'utf8').catch(() => undefined);
  const parsed = text === undefined ? undefined : stateSchema.safeParse(JSON.parse(text));
  if (parsed?.success !== true) return undefined;
  return processStartTime(parsed.data.keeperPid) === parsed.data.keeperStartTime ? parsed.data : undefined;
}

function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold blanks and parentheses; field 3 follows the last ")".
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

export function describeLab(lab: LabState): string {
  return `a lab is up since ${lab.startedAt}, started by process ${lab.ownerPid} (${lab.owner})${lab.kept ? ', kept' : ''}`;
}

export interface StartedLab {
  readonly state: LabState;
  /** Stays up when this process ends. */
  keep(): Promise<void>;
}

export interface StartLabOptions {
  readonly rootfs: string;
  readonly owner: string;
  readonly rates: LabState['rates'];
}

/**
 * Starts the keeper; the hosts are booting when this returns.
 * @throws LabError 'already-up', 'start-failed', 'needs-root'
 */
export async function startLab({ rootfs, owner, rates }: StartLabOptions): Promise<StartedLab> {
  if (process.getuid?.() !== 0)
    throw new LabError(
      'needs-root',
      'the local lab needs root: it makes namespaces, containers and mounts; run this as root',
    );
  const other = await currentLab();
  if (other !== undefined)
    throw new LabError('already-up', `${describeLab(other)}; take it down with: npm run lab -- down`);
  await removeLeftovers();
  await mkdir(labFolder, { recursive: true, mode: 0o700 });
  await mkdir(exportFolder(), { recursive: true });
  await run('ssh-keygen', [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-C',
    'poolshift lab',
    '-f',
    path.join(labFolder, 'id'),
  ]);
  await writeFile(path.join(labFolder, 'known_hosts'), '');

  const keeper = spawn(
    'unshare',
    [
      ...[
        '--mount',
        '--net',
        '--pid',
        '--fork',
        '--kill-child=KILL',
        '--mount-proc',
        '--propagation',
        'private',
        '--',
      ],
      ...[
        'bash',
        path.join(import.meta.dirname, 'keeper.sh'),
        labFolder,
        rootfs,
        cacheRoot(),
        exportFolder(),
      ],
    ],
    // A session of its own: a Ctrl-C in the terminal is for the harness, which takes the lab down in good order.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  const errors: string[] = [];
  createInterface({ input: keeper.stderr }).on('line', (line) => errors.push(line));
  try {
    await firstLine(keeper);
  } catch (error) {
    throw new LabError(
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
    sshConfig({ folder: labFolder, proxyCommand: `nsenter --target ${keeperPid} --net socat - TCP:%h:%p` }),
  );
  await writeState(state);
  return {
    state,
    keep: async () => {
      keeper.stdin.end('keep\n');
      await writeState({ ...state, kept: true });
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

async function writeState(state: LabState): Promise<void> {
  await writeFile(stateFile, `${JSON.stringify(state, undefined, 2)}\n`);
}

/** Takes the machine's lab down, whoever started it. Idempotent. */
export async function stopLab(): Promise<void> {
  const lab = await currentLab();
  if (lab !== undefined) {
    // Masters would linger until their connection times out.
    for (const entry of await readdir(labFolder))
      if (entry.startsWith('m-'))
        await run('ssh', ['-F', sshConfigPath, '-O', 'exit', entry.slice(2)]).catch(() => undefined);
    process.kill(lab.keeperPid, 'SIGKILL');
    for (
      let attempt = 0;
      attempt < 200 && processStartTime(lab.keeperPid) === lab.keeperStartTime;
      attempt += 1
    )
      await sleep(25);
  }
  await removeLeftovers();
}

/** What a lab that is gone has left: its folder, its disk images and its cgroups, which the kernel empties with a delay. */
async function removeLeftovers(): Promise<void> {
  for (const hierarchy of ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup']) {
    const folder = path.join(hierarchy, 'poolshift');
    for (let attempt = 0; attempt < 100 && existsSync(folder); attempt += 1) {
      await run('find', [folder, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']).catch(() => undefined);
      if (existsSync(folder)) await sleep(50);
    }
  }
  await rm(labFolder, { recursive: true, force: true });
  await rm(exportFolder(), { recursive: true, force: true });
}
