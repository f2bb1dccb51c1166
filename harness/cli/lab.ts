/** `npm run lab -- up|down|status|shell HOST|ssh guest`: the local lab by hand. */
import { spawnSync } from 'node:child_process';
import { Command, CommanderError } from 'commander';
import { helpSettings } from '../../foundation/command-help.ts';
import { megabitsPerSecond, seconds } from '../../foundation/quantity.ts';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { linkRate } from '../../experiments/configuration.ts';
import { prepareVmHost } from '../vm/vm-host.ts';
import { type HostName, type NetworkName, hostNames, networkNames } from '../testbed/host.ts';
import { sshConfigPath } from '../testbed/local/lab-folder.ts';
import { stopLab } from '../testbed/local/lab-process.ts';
import { currentLab, describeLab } from '../testbed/local/lab-state.ts';
import { prepareLocalTestbed, startLocalTestbed } from '../testbed/local/start.ts';
import { exitCodes } from './options.ts';

const log = (line: string): void => {
  console.error(line);
};

type Rates = Readonly<Partial<Record<`${NetworkName}Rate`, string>>> & { readonly rate: string };

function rateOf(option: string, text: string): number {
  const rate = linkRate.safeParse(text);
  if (rate.success) return rate.data;
  throw new CodedError(
    'command',
    'usage',
    `${option} ${JSON.stringify(text)}: ${rate.error.issues[0]?.message ?? ''}`,
  );
}

async function up(options: Rates): Promise<void> {
  const all = rateOf('--rate', options.rate);
  const rate = (network: NetworkName): number => {
    const text = options[`${network}Rate`];
    return text === undefined ? all : rateOf(`--${network}-rate`, text);
  };
  const startedMs = performance.now();
  const testbed = await startLocalTestbed({
    rates: { migration: rate('migration'), storage: rate('storage'), service: rate('service') },
    keep: () => true,
    owner: 'npm run lab -- up',
    log,
  });
  await Promise.all([testbed.hosts.src, testbed.hosts.dst].map((host) => prepareVmHost(host, testbed)));
  await testbed.close();
  log(
    `lab is up after ${seconds(performance.now() - startedMs)}; ssh -F ${sshConfigPath} ${hostNames.join('|')}`,
  );
}

async function down(): Promise<void> {
  const lab = await currentLab();
  // Sweeps up after a lab that was killed, too.
  await stopLab();
  log(lab === undefined ? 'no lab is up' : 'lab is down');
}

async function status({ json = false }: { readonly json?: boolean }): Promise<void> {
  const lab = await currentLab();
  if (json) {
    console.log(JSON.stringify(lab ?? null));
    return;
  }
  if (lab === undefined) {
    console.log('no lab is up');
    return;
  }
  console.log(describeLab(lab));
  for (const network of networkNames) {
    const rate = lab.rates[network];
    console.log(`${network}: ${rate === undefined ? 'not shaped' : megabitsPerSecond(rate)}`);
  }
  console.log(`ssh -F ${sshConfigPath} ${hostNames.join('|')}`);
}

async function ssh(host: HostName | 'guest', command: readonly string[]): Promise<void> {
  if ((await currentLab()) === undefined)
    throw new CodedError('command', 'usage', 'no lab is up; start one with: npm run lab -- up');
  const terminal = process.stdin.isTTY && command.length === 0 ? ['-t'] : [];
  const result = spawnSync('ssh', ['-F', sshConfigPath, ...terminal, host, ...command], { stdio: 'inherit' });
  process.exitCode = result.status ?? exitCodes.failed;
}

const program = new Command('lab')
  .configureHelp(helpSettings)
  .description('The local lab: four hosts as containers on this machine')
  .exitOverride()
  .enablePositionalOptions()
  .addHelpText(
    'after',
    '\nExit codes: 0 done; 1 failed; 2 wrong usage; shell and ssh: that of the remote command.',
  );
program
  .command('up')
  .description('start the lab and leave it up')
  .option('--rate <rate>', 'rate of the three networks', '125mbit')
  .option('--migration-rate <rate>', 'rate of the migration network (default: as --rate)')
  .option('--storage-rate <rate>', 'rate of the storage network (default: as --rate)')
  .option('--service-rate <rate>', 'rate of the service network (default: as --rate)')
  .action(up);
program
  .command('prepare')
  .description("make the hosts' root file system, which everything else needs, and start nothing")
  .action(async () => {
    await prepareLocalTestbed(log);
  });
program.command('down').description('take the lab down, whoever started it').action(down);
program
  .command('status')
  .description('say whether a lab is up, and whose')
  .option('--json', 'as JSON')
  .action(status);
program
  .command('shell')
  .argument('<host>', hostNames.join('|'))
  .argument('[command...]')
  .description('a shell, or a command, on a host')
  .passThroughOptions()
  .action(async (name: string, command: readonly string[]) => {
    const host = hostNames.find((known) => known === name);
    if (host === undefined)
      throw new CodedError(
        'command',
        'usage',
        `host ${JSON.stringify(name)}: valid: ${hostNames.join(', ')}`,
      );
    await ssh(host, command);
  });
program
  .command('ssh')
  .argument('<machine>', 'guest')
  .argument('[command...]')
  .description('a shell, or a command, in the guest')
  .passThroughOptions()
  .action(async (name: string, command: readonly string[]) => {
    if (name !== 'guest')
      throw new CodedError(
        'command',
        'usage',
        `machine ${JSON.stringify(name)}: valid: guest (hosts: lab shell)`,
      );
    await ssh('guest', command);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else {
    console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = isCoded(error, 'command') ? exitCodes.usage : exitCodes.failed;
  }
}
