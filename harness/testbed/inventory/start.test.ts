/** What a start that fails, or a host that is gone at the end, leaves on the others; the hosts only say what they are told. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Host, HostName, HostProcess } from '../host.ts';
import { refuseTwoRates } from './networks.ts';
import { parseInventory } from './read-inventory.ts';
import { startConnected, startInventoryTestbed } from './start.ts';

const station = (last: number): string => `
    ssh: { address: 192.0.2.${last}, identityFile: key, knownHostsFile: known }
    networks:
      migration: { address: 10.10.0.${last}, interface: mig }
      storage: { address: 10.20.0.${last}, interface: sto }
      service: { address: 10.30.0.${last}, interface: svc }`;
const inventory = parseInventory(
  `hosts:
  src:${station(1)}
  dst:${station(2)}
  nfs:${station(3)}
  client:${station(4)}
nfs: { export: /srv/export }
guestAddress: 10.30.0.10/24
shape: true
`,
  '/lab/hosts.yaml',
);
const rates = { migration: 125e6, storage: 125e6, service: 125e6 };
// Tests that need a lab queue up; here nobody is waited for.
process.env['POOLSHIFT_LAB_WAIT'] = '0';

/**
 * @param answer to a command of `tc`; it may fail
 * @param lock what the lock's process says
 */
async function started(
  t: ExecutionContext,
  answer: (name: HostName, command: string) => Promise<void>,
  lock = 'taken',
): Promise<{ readonly done: readonly string[]; readonly start: ReturnType<typeof startConnected> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-start-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  /** What hosts have done, in the order in which it was done. */
  const done: string[] = [];
  const host = (name: HostName): Host => ({
    name,
    qemuBinary: 'qemu',
    run: async (command) => {
      if (command.startsWith('tc ')) {
        await answer(name, command);
        done.push(`${name} ${command.includes(' del ') ? 'free' : command.split(' ').slice(2, 5).join(' ')}`);
      }
      const stdout = command.startsWith('id -u') ? '0\n' : `${process.version}\n`;
      return { stdout, stderr: '', exitCode: 0 };
    },
    spawn: (): HostProcess => {
      const ended = Promise.withResolvers<{ exitCode: number; stderrTail: string }>();
      return {
        lines: (async function* () {
          yield lock;
          await ended.promise;
        })(),
        write: () => undefined,
        closeInput: () => undefined,
        stop: () => {
          done.push(`${name} released`);
          ended.resolve({ exitCode: 0, stderrTail: '' });
          return Promise.resolve();
        },
        ended: ended.promise,
      };
    },
    copyTo: () => Promise.resolve(),
    copyFrom: () => Promise.resolve(),
    forwardSocket: (remotePath) => Promise.resolve(remotePath),
  });
  const start = startConnected(
    {
      ...{ folder, configPath: path.join(folder, 'ssh_config') },
      hosts: { src: host('src'), dst: host('dst'), nfs: host('nfs'), client: host('client') },
      guest: () => host('client'),
      disconnect: () => {
        done.push('disconnected');
        return Promise.resolve();
      },
    },
    { inventory, rates, keep: () => false, owner: 'test', log: () => undefined },
  );
  return { done, start };
}

const all = ['src', 'dst', 'nfs', 'client'] as const;
const released = [...all.map((name) => `${name} released`), 'disconnected'];

test('a start that fails while it shapes frees every interface that was shaped, also late, and lets all hosts go', async (t) => {
  const { done, start } = await started(t, async (name, command) => {
    if (!command.includes(' replace ')) return;
    if (name === 'src' && command.includes(' sto ')) throw new Error('no tbf');
    // Still on its way when the other one has failed.
    if (name === 'client') await sleep(50);
  });
  await t.throwsAsync(start, { message: 'no tbf' });
  const shaped = done.filter((line) => line.includes('dev'));
  t.is(shaped.length, 11);
  t.deepEqual(done.slice(shaped.length), [...all.map((name) => `${name} free`), ...released]);
});

test('a start that fails before it shapes takes no queueing discipline away', async (t) => {
  const { done, start } = await started(t, () => Promise.resolve(), 'held');
  await t.throwsAsync(start, { message: /src is in use by another/ });
  t.deepEqual(done, ['src released', 'disconnected']);
});

test('a host that is gone at the end keeps no other from being let go', async (t) => {
  const { done, start } = await started(t, async (name, command) => {
    if (!command.includes(' del ')) return;
    if (name === 'src') throw new Error('src is gone');
    await sleep(20);
  });
  const testbed = await start;
  await t.throwsAsync(testbed.close(), { message: 'src is gone' });
  t.deepEqual(done.slice(12), ['dst free', 'nfs free', 'client free', ...released]);
});

test('an interface that several networks share gets no two rates', async (t) => {
  const { hosts } = inventory;
  const { migration, service } = hosts.nfs.networks;
  const shared = {
    ...inventory,
    hosts: { ...hosts, nfs: { ...hosts.nfs, networks: { migration, storage: migration, service } } },
  };
  t.notThrows(() => {
    refuseTwoRates(shared, rates);
    refuseTwoRates({ ...shared, shape: false }, { ...rates, storage: 1e6 });
  });
  const options = { keep: () => false, owner: 'test', log: () => undefined };
  await t.throwsAsync(
    startInventoryTestbed({ ...options, inventory: shared, rates: { ...rates, storage: 1e6 } }),
    {
      code: 'invalid',
      message: /^migration and storage have different rates, and nfs has one interface for both \(mig\): /,
    },
  );
});
