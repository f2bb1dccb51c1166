/** `--testbed vagrant`: brings the machines up, has the export mounted, and lists them as an inventory. */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ProcessOutput, Shell } from 'zx';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Log } from '../../../scripts/cache.ts';
import { vagrantTestbed } from '../../../vagrant/testbed.ts';
import { type HostName, type Testbed, hostNames } from '../host.ts';
import { openConnections } from '../inventory/connections.ts';
import { parseInventory } from '../inventory/read-inventory.ts';
import type { Inventory } from '../inventory/schema.ts';
import { startGanesha } from '../local/ganesha.ts';
import { type MachineAnswer, machineQuestion, parseMachineAnswer, parseSshConfig } from './answers.ts';
import { mountPath, vagrantMachines } from './machines.ts';
import { type Places, requireVagrant, usualPlaces } from './requirements.ts';
import { vagrantCommand } from './vagrant-command.ts';
import { type VagrantInventory, vagrantExport, vagrantInventory } from './vagrant-inventory.ts';

export interface StartVagrantOptions {
  readonly log: Log;
  /** Has the Vagrantfile; gets machines.json and hosts.yaml, which are not in git. By default vagrant/. */
  readonly folder?: string;
  readonly places?: Places;
}

/**
 * The machines stay up afterwards: they are the user's to halt or destroy.
 * @throws CodedError 'vagrant'; CodedError 'host' where a machine cannot be entered or its NFS server does not start; ZodError for a wrong
 * vagrant/testbed.ts
 */
export async function startVagrant(options: StartVagrantOptions): Promise<Inventory> {
  const {
    log,
    folder = path.resolve(import.meta.dirname, '../../../vagrant'),
    places = usualPlaces,
  } = options;
  const file = path.join(folder, 'hosts.yaml');
  const vagrant = vagrantCommand({ folder, env: places.env });
  await requireVagrant(places);
  const machines = vagrantMachines(vagrantTestbed);
  await writeWhole(path.join(folder, 'machines.json'), `${JSON.stringify(machines, undefined, 2)}\n`);
  await vagrantUp(vagrant, log);

  const access = parseSshConfig(answerOf('ssh-config', await vagrant`ssh-config`));
  const answers: [HostName, MachineAnswer][] = [];
  // By Vagrant's own connection, which knows no host keys: from here on, the keys that it tells are checked.
  for (const name of hostNames) {
    const answer = answerOf('ssh', await vagrant`ssh ${name} --command ${machineQuestion}`);
    answers.push([name, parseMachineAnswer(name, answer)]);
  }
  const known = { machines, access, answers: Object.fromEntries(answers) as VagrantInventory['answers'] };
  const parse = (content: string): Inventory => parseInventory(content, file);
  const unmounted = parse(vagrantInventory({ ...known, mountPath: undefined }));
  const mounted = await prepareStorage(unmounted, log);
  const content = vagrantInventory({ ...known, mountPath: mounted ? mountPath : undefined });
  await writeWhole(file, content);
  log(`machines are up, and listed in ${file}`);
  return parse(content);
}

async function vagrantUp(vagrant: Shell, log: Log): Promise<void> {
  const up = vagrant`up --provider libvirt --no-color 2>&1`;
  const lastLines: string[] = [];
  for await (const line of up) {
    // Vagrant's own words, and what provision.sh says that it has changed.
    if (/^==> \S+: \S|^ {4}\S+: changed /.test(line)) log(line.replace(/^(==>| {3}) /, ''));
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
  }
  const { exitCode } = await up;
  if (exitCode !== 0)
    throw new CodedError(
      'vagrant',
      'up-failed',
      `"vagrant up" ended with ${exitCode ?? 'a signal'}:\n${lastLines.join('\n')}`,
    );
}

function answerOf(command: string, { ok, stdout, stderr }: ProcessOutput): string {
  if (!ok)
    throw new CodedError(
      'vagrant',
      'bad-answer',
      `"vagrant ${command}" failed: ${`${stdout}\n${stderr}`.trim().slice(-500)}`,
    );
  return stdout;
}

/** Starts the NFS server; says whether both VM hosts have its export mounted by their kernel. */
async function prepareStorage(inventory: Inventory, log: Log): Promise<boolean> {
  const connections = await openConnections(inventory);
  const { hosts } = connections;
  try {
    await hosts.nfs.run(`mkdir -p ${vagrantExport}`);
    await startGanesha(hosts.nfs, vagrantExport);
    return await mountExport(hosts, log);
  } finally {
    await connections.disconnect();
  }
}

/** By the line in /etc/fstab that provision.sh writes where the kernel has an NFS client. @throws CodedError 'host' */
async function mountExport({ src, dst }: Pick<Testbed['hosts'], 'src' | 'dst'>, log: Log): Promise<boolean> {
  const mounted = await Promise.all(
    [src, dst].map(async (host) => {
      const { exitCode, stdout } = await host.run(
        `grep -q ' ${mountPath} nfs ' /etc/fstab || { echo "its kernel has no NFS client"; exit 1; }
mountpoint --quiet ${mountPath} || mount ${mountPath} 2>&1`,
        { okExitCodes: [0, 1, 32] },
      );
      if (exitCode !== 0)
        log(`${host.name}: ${stdout.trim()}; QEMU's own NFS client reads the export on both VM hosts`);
      return exitCode === 0;
    }),
  );
  return mounted.every(Boolean);
}

/** Others may read it at any time. */
async function writeWhole(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}
