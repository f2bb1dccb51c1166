/** `npm run vagrant-box`: makes the box and gives it to Vagrant. */
import { $ } from 'zx';
import { CodedError } from '../foundation/coded-error.ts';
import { refuseArguments } from '../foundation/command-help.ts';
import type { Log } from '../scripts/cache.ts';
import { machinePackages } from '../scripts/debian-packages.ts';
import { ensurePackages } from '../scripts/packages.ts';
import { boxName, prepareBox } from './box.ts';

const log: Log = (line) => {
  console.error(line);
};

refuseArguments(
  'usage: npm run vagrant-box\nMakes a Debian 13 box from packages, and gives it to Vagrant (docs/real-hosts.md). Exit codes: 0 Vagrant has it, 1 not.',
);
try {
  await ensurePackages(machinePackages.vagrantBox, log);
  const file = await prepareBox(log);
  const add = ['box', 'add', '--force', '--name', boxName, file];
  const vagrant = $({ nothrow: true, stdio: ['ignore', 'inherit', 'inherit'] });
  const { exitCode } = await vagrant`vagrant ${add}`;
  if (exitCode !== 0) {
    log(`Vagrant has not taken the box; when it is there: vagrant ${add.join(' ')}`);
    process.exitCode = 1;
  }
} catch (error) {
  if (!(error instanceof CodedError)) throw error;
  log(`vagrant-box: ${error.message}`);
  process.exitCode = 1;
}
