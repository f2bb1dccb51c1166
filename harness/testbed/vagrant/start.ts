/** `--testbed vagrant`: brings the machines of vagrant/Vagrantfile up, and lists them as an inventory. */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { $, type ProcessOutput, type Shell } from 'zx';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Log } from '../../../scripts/cache.ts';
import { boxName } from '../../../vagrant/box.ts';
import { type HostName, hostNames, networkNames } from '../host.ts';
import { parseInventory } from '../inventory/read-inventory.ts';
import type { Inventory } from '../inventory/schema.ts';
import { guestAddress, labAddress } from '../local/lab-network.ts';
import { vagrantCommand } from './vagrant-command.ts';

/** Has the Vagrantfile; gets hosts.yaml, which is not in git. */
const folder = path.resolve(import.meta.dirname, '../../../vagrant');

/** Where the machines are on each network, and what their storage is, as the Vagrantfile and provision.sh have it. */
export const vagrantPlan = {
  guestAddress,
  nfs: { export: '/srv/export', mount: '/mnt/poolshift' },
  // eth0 is Vagrant's own.
  networks: (host: HostName) =>
    Object.fromEntries(
      networkNames.map((network, index) => [
        network,
        { address: labAddress(network, host), interface: `eth${index + 1}` },
      ]),
    ),
} as const;

/**
 * The machines stay up afterwards: they are the user's to halt or destroy.
 * @throws CodedError 'vagrant'
 */
export async function startVagrant(log: Log): Promise<Inventory> {
  const vagrant = vagrantCommand(folder);
  await requireBox(vagrant);
  await vagrantUp(vagrant, log);
  const sshConfig = path.join(folder, '.vagrant/ssh-config');
  await writeFile(sshConfig, answerOf('vagrant ssh-config', await vagrant`ssh-config`));
  const hosts = await Promise.all(
    hostNames.map(async (name) => {
      const ssh = { ...(await accessOf(name, sshConfig)), hostKey: await hostKeyOf(name, sshConfig) };
      return [name, { ssh, networks: vagrantPlan.networks(name) }] as const;
    }),
  );
  const file = path.join(folder, 'hosts.yaml');
  const { nfs } = vagrantPlan;
  const content = stringify({ hosts: Object.fromEntries(hosts), nfs, guestAddress, shape: true });
  // Others may read it at any time.
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
  log(`machines are up, and listed in ${file}`);
  return parseInventory(content, file);
}

/** Without it, Vagrant would look for the box on a server that has none of this name. @throws CodedError 'vagrant', 'not-ready' */
async function requireBox(vagrant: Shell): Promise<void> {
  const { exitCode, stdout } = await vagrant`box list`;
  if (exitCode === 127)
    throw new CodedError(
      'vagrant',
      'not-ready',
      'vagrant is not installed; on Debian 12: apt-get install vagrant vagrant-libvirt libvirt-daemon-system (Debian 13 has no vagrant)',
    );
  if (!stdout.includes(`${boxName} `))
    throw new CodedError('vagrant', 'not-ready', `Vagrant has no box ${boxName}: npm run vagrant-box`);
}

async function vagrantUp(vagrant: Shell, log: Log): Promise<void> {
  const up = vagrant`up --provider libvirt --no-color 2>&1`;
  const lastLines: string[] = [];
  for await (const line of up) {
    // What Vagrant does, without its settings and advice, and what provision.sh says that it has changed.
    if (/^==> \S+: \S.*(?:\.\.\.|!)$|^ {4}\S+: changed /.test(line)) log(line.replace(/^(==>| {3}) /, ''));
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

const quietly = $({ quiet: true, nothrow: true, stdio: ['ignore', 'pipe', 'pipe'] });

/** How ssh enters the machine by that configuration. @throws CodedError 'vagrant', 'bad-answer' */
export async function accessOf(name: HostName, sshConfig: string): Promise<object> {
  const said = answerOf('ssh -G', await quietly`ssh -G -F ${sshConfig} ${name}`);
  // The first of several keys holds.
  const value = (key: string): string | undefined => new RegExp(`^${key} (.*)$`, 'm').exec(said)?.[1];
  const proxyCommand = value('proxycommand');
  return {
    address: value('hostname'),
    port: Number(value('port')),
    user: value('user'),
    identityFile: value('identityfile'),
    ...(proxyCommand === undefined ? {} : { proxyCommand }),
  };
}

/** By Vagrant's configuration, which knows no host keys: from here on, the key that it tells is checked. */
async function hostKeyOf(name: HostName, sshConfig: string): Promise<string> {
  const asked =
    await quietly`ssh -F ${sshConfig} ${name} cut -d "' '" -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub`;
  return answerOf(`ssh ${name}`, asked).trim();
}

/** @throws CodedError 'vagrant', 'bad-answer' */
function answerOf(command: string, { ok, stdout, stderr }: ProcessOutput): string {
  if (ok) return stdout;
  const said = `${stdout}\n${stderr}`.trim().slice(-500);
  throw new CodedError('vagrant', 'bad-answer', `"${command}" failed: ${said}`);
}
