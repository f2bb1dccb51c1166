/** How a lab ends, and that it touches nothing outside of itself. Starts three labs; takes about 30 s. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { $ } from 'zx';
import { CodedError } from '../../../foundation/coded-error.ts';
import { labFolder } from './lab-folder.ts';
import { clearLeftovers } from './lab-process.ts';
import { currentLab } from './lab-state.ts';
import { startLocalTestbed } from './start.ts';

const rates = { migration: 125e6, storage: 125e6, service: 125e6 };

function startLab(t: ExecutionContext) {
  return startLocalTestbed({
    rates,
    keep: () => false,
    owner: 'lifetime.lab.test.ts',
    log: (line) => {
      t.log(line);
    },
  });
}

/** What a lab must leave as it is: mounts, interfaces, routes and named namespaces of this machine. */
async function machineState(): Promise<unknown> {
  return {
    mounts: readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => /poolshift|netns|overlay|nspawn/.test(line)),
    interfaces: Object.keys(networkInterfaces()),
    links: readdirSync('/sys/class/net').sort(),
    routes: (await $`ip route show table all`).stdout,
    namespaces: existsSync('/run/netns') ? readdirSync('/run/netns') : [],
    machines: existsSync('/run/systemd/nspawn') ? readdirSync('/run/systemd/nspawn') : [],
  };
}

/** Pids of a process and all below it, as this machine sees them, each with its start time. */
function processTree(root: number): Map<number, string> {
  const parents = new Map<number, number>();
  const starts = new Map<number, string>();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const fields = statFields(Number(entry));
    if (fields === undefined) continue;
    parents.set(Number(entry), Number(fields[1]));
    starts.set(Number(entry), fields[19] ?? '');
  }
  const isBelow = (pid: number): boolean => pid === root || (pid > 1 && isBelow(parents.get(pid) ?? 0));
  return new Map([...starts].filter(([pid]) => isBelow(pid)));
}

/** Fields of /proc/PID/stat from the third on. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

async function allGone(processes: Map<number, string>): Promise<boolean> {
  const alive = (): boolean =>
    [...processes].some(([pid, start]) => {
      const fields = statFields(pid);
      return fields?.[19] === start && fields[0] !== 'Z';
    });
  for (let attempt = 0; attempt < 100 && alive(); attempt += 1) await sleep(50);
  return !alive();
}

/** Processes that hold something of the lab open from outside: ssh masters and their proxies. */
function connectionsToLab(keeperPid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(`--target ${keeperPid} `));
}

test.serial(
  'a lab touches nothing of the machine, is the only one, and is gone when its keeper is killed',
  async (t) => {
    const before = await machineState();
    const testbed = await startLab(t);
    t.teardown(() => testbed.close());
    t.deepEqual(await machineState(), before);

    const lab = await currentLab();
    t.is(lab?.owner, 'lifetime.lab.test.ts');
    t.is(lab?.ownerPid, process.pid);

    const wait = process.env['POOLSHIFT_LAB_WAIT'];
    process.env['POOLSHIFT_LAB_WAIT'] = '0';
    const refused = await t.throwsAsync(startLab(t), { instanceOf: CodedError, name: 'LabError' });
    process.env['POOLSHIFT_LAB_WAIT'] = wait;
    t.is(refused.code, 'already-up');
    t.regex(
      refused.message,
      /since 20.*process \d+ \(lifetime\.lab\.test\.ts\); take it down with: npm run lab -- down/,
    );
    // The refusal has harmed nothing.
    await testbed.hosts.src.run('true');

    const keeperPid = lab?.keeperPid ?? 0;
    const processes = processTree(keeperPid);
    t.true(processes.size > 25, `${processes.size} processes`);
    process.kill(keeperPid, 'SIGKILL');
    t.true(await allGone(processes));
    const error = await t.throwsAsync(testbed.hosts.src.run('true'), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(error.code, 'unreachable');
    t.deepEqual(await machineState(), before);
    await testbed.close();
    t.deepEqual(connectionsToLab(keeperPid), []);
  },
);

test.serial('a lab goes down when its owner is killed', async (t) => {
  const before = await machineState();
  const owner = spawn(process.execPath, [path.join(import.meta.dirname, 'owner.fixture.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => owner.kill('SIGKILL'));
  await once(owner.stdout, 'data');
  const lab = await currentLab();
  t.is(lab?.ownerPid, owner.pid);
  const processes = processTree(lab?.keeperPid ?? 0);
  t.true(connectionsToLab(lab?.keeperPid ?? 0).length >= 4);
  owner.kill('SIGKILL');
  t.true(await allGone(processes));
  for (let attempt = 0; attempt < 40 && connectionsToLab(lab?.keeperPid ?? 0).length > 0; attempt += 1)
    await sleep(50);
  t.deepEqual(connectionsToLab(lab?.keeperPid ?? 0), []);
  t.deepEqual(await machineState(), before);
});

test.serial(
  'a kept lab outlives its owner, is swept of what the last one left, and is taken down by hand',
  async (t) => {
    const cli = async (...words: string[]) => {
      const program = path.join(import.meta.dirname, '../../cli/lab.ts');
      const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => {
          output += chunk.toString();
        });
      const [exitCode] = (await once(child, 'close')) as [number];
      return { exitCode, output };
    };
    const up = await cli('up', '--rate', '250mbit');
    t.teardown(() => cli('down'));
    t.is(up.exitCode, 0, up.output);
    t.regex(up.output, /lab is up after [\d.]+ s/);
    const lab = await currentLab();
    t.true(lab?.kept);
    const processes = processTree(lab?.keeperPid ?? 0);

    t.deepEqual(await cli('shell', 'dst', 'hostname; exit 7'), { exitCode: 7, output: 'dst\n' });
    t.regex((await cli('status')).output, /kept[^]*migration: 250 Mbit\/s/);
    t.is(
      (JSON.parse((await cli('status', '--json')).output) as { owner: string }).owner,
      'npm run lab -- up',
    );
    t.is((await cli('up', '--rate', 'fast')).exitCode, 2);
    t.is((await cli('shell', 'nowhere')).exitCode, 2);
    t.is((await cli('sideways')).exitCode, 2);

    t.deepEqual(await cli('down'), { exitCode: 0, output: 'lab is down\n' });
    t.true(await allGone(processes));
    if ((await currentLab()) === undefined) {
      await clearLeftovers();
      t.false(existsSync(path.join(labFolder, 'lab.json')));
    }
  },
);
