/**
 * The Debian 13 box of vagrant/Vagrantfile, made from packages by this machine's own apt configuration. It has the packages of all
 * roles, and Node, so that its machines need no network to be provisioned.
 */
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { confined } from '../guest/image/confined.ts';
import { bootstrap } from '../guest/image/packages.ts';
import { type Log, hashFiles, prepare } from '../scripts/cache.ts';
import { type PackageSet, bootPackages, boxPackages } from '../scripts/debian-packages.ts';
import { type Driver, driverThatBoots } from './box-driver.ts';
import { progressOnly, provisionHooks, provisionScript } from './provision.ts';

/** As in the Vagrantfile. */
export const boxName = 'poolshift/debian13';
/** Of the disk as machines see it; it takes the space of what is in it. */
const diskGib = 100;

const packages: PackageSet = { suite: 'trixie', packages: [...bootPackages, ...boxPackages] };
const here = (name: string): string => path.join(import.meta.dirname, name);

/** The box's own settings, which the project's Vagrantfile does not need to know. */
export function boxVagrantfile(driver: Driver): string {
  // Emulated, an AMD processor, since QEMU emulates its virtualisation: the hosts' own VMs are then emulated once, not twice.
  const processor = driver === 'kvm' ? { mode: 'host-passthrough' } : { mode: 'custom', model: 'EPYC' };
  return `Vagrant.configure('2') do |config|
  config.ssh.private_key_path = File.join(__dir__, 'vagrant_private_key')
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = '${driver}'
    libvirt.cpu_mode = '${processor.mode}'
${processor.model === undefined ? '' : `    libvirt.cpu_model = '${processor.model}'\n`}  end
end
`;
}

/** Returns the box's file. @throws CodedError 'set-up' */
export async function prepareBox(log: Log): Promise<string> {
  const scripts = ['box.ts', 'box-driver.ts', 'box-root.sh', 'box-disk.sh'].map(here);
  const entry = await prepare({
    name: 'vagrant-box',
    keyParts: [
      ...packages.packages,
      diskGib,
      process.versions.node,
      await hashFiles([...scripts, provisionScript]),
    ],
    log,
    build: async (dir) => {
      const tree = path.join(dir, 'tree');
      const box = path.join(dir, 'box');
      await mkdir(tree);
      await mkdir(box);
      await bootstrap(tree, packages, {
        variant: 'minbase',
        customize: [...provisionHooks('host', 'nfs', 'client'), here('box-root.sh')],
        log: progressOnly(log),
      });
      await rename(path.join(tree, 'vagrant_private_key'), path.join(box, 'vagrant_private_key'));
      // The harness copies its Node to a host that has another, which takes minutes to an emulated machine.
      await copyFile(process.execPath, path.join(tree, 'usr/local/bin/node'));
      const disk = path.join(box, 'box.img');
      await confined({ log })`${here('box-disk.sh')} ${tree} ${disk} ${diskGib}`;
      await rm(tree, { recursive: true });
      await writeFile(path.join(box, 'Vagrantfile'), boxVagrantfile(await driverThatBoots(disk, log)));
      await writeFile(
        path.join(box, 'metadata.json'),
        JSON.stringify({ provider: 'libvirt', format: 'qcow2', virtual_size: diskGib }),
      );
      await $({ quiet: true })`tar --create --directory ${box} --file ${path.join(dir, 'poolshift.box')} .`;
      await rm(box, { recursive: true });
    },
  });
  return path.join(entry, 'poolshift.box');
}
