/** What a lab could leave on a machine; tests compare it before and after. */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { $ } from 'zx';
import { labCgroups, labFolder } from '../testbed/local/lab-folder.ts';

interface MachineState {
  readonly links: string;
  readonly routes: string;
  readonly networkNamespaces: readonly string[];
  readonly mounts: readonly string[];
  /** The programs of a lab. Each runs in a process namespace of the lab's: those in this one are somebody else's. */
  readonly labProcesses: readonly string[];
  readonly labFolders: readonly string[];
}

const labPrograms = /^(qemu-system|ganesha|systemd-nspawn|sysbench|rpcbind|fping|iperf3)/;

export async function machineState(): Promise<MachineState> {
  const [{ stdout: links }, { stdout: routes }, mounts] = await Promise.all([
    $`ip -brief link`,
    $`ip route`,
    readFile('/proc/self/mounts', 'utf8'),
  ]);
  return {
    links,
    routes,
    networkNamespaces: existsSync('/run/netns') ? await readdir('/run/netns') : [],
    mounts: mounts.split('\n').filter((line) => /poolshift|nspawn/.test(line)),
    labProcesses: await runningLabPrograms(),
    labFolders: [labFolder, ...labCgroups].filter((path) => existsSync(path)),
  };
}

async function runningLabPrograms(): Promise<readonly string[]> {
  const ours = await readlink('/proc/self/ns/pid');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    pids.map(async (pid) => {
      const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => ours);
      return namespace === ours ? '' : readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    }),
  );
  return commands.map((command) => command.trim()).filter((command) => labPrograms.test(command));
}
