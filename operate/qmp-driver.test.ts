import test from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import type { QmpClient } from '../qemu/qmp/client.ts';
import type { Qemu } from './monitor.ts';
import {
  capabilitiesOf,
  jobOf,
  parametersOf,
  qmpDriver,
  sourceStateOf,
  targetStateOf,
} from './qmp-driver.ts';
import type { Driver } from './run-migration.ts';

const uris = { outgoingUri: 'unix:/a', incomingUri: 'unix:/b' };

/** As QEMU 10.0 and 7.2 list them. */
const known = { 'max-bandwidth': 134_217_728, 'downtime-limit': 300, 'avail-switchover-bandwidth': 0 };
const older = { 'max-bandwidth': 134_217_728, 'downtime-limit': 300 };

test('what the source is told before', (t) => {
  const plain = { ...uris, early: false, throughEngines: false };
  t.deepEqual(parametersOf({ ...plain, throughEngines: true }, known), { 'max-bandwidth': 100e9 });
  t.deepEqual(parametersOf(plain, known), {});
  const given = { bandwidthBytesPerSecond: 5, switchoverBytesPerSecond: 6, maxDowntimeMs: 7 };
  t.deepEqual(parametersOf({ ...plain, ...given }, known), {
    'max-bandwidth': 5,
    'downtime-limit': 7,
    'avail-switchover-bandwidth': 6,
  });
  t.deepEqual(parametersOf({ ...plain, ...given }, older), { 'max-bandwidth': 5, 'downtime-limit': 7 });
  // Early resume has a downtime and a bandwidth of its own, at which QEMU does not end as pre-copy.
  t.deepEqual(parametersOf({ ...plain, ...given, early: true, throughEngines: true }, known), {
    'max-bandwidth': 5,
    'downtime-limit': 1,
    'avail-switchover-bandwidth': 4_096_000,
  });
  t.deepEqual(parametersOf({ ...plain, early: true, throughEngines: true }, older), {
    'max-bandwidth': 100e9,
    'downtime-limit': 1,
  });
});

const names = ['events', 'return-path', 'switchover-ack', 'postcopy-ram', 'postcopy-preempt'] as const;
const having = (...on: readonly string[]) =>
  names.map((capability) => ({ capability, state: on.includes(capability) }));
const states = (...[how, ends]: Parameters<typeof capabilitiesOf>) =>
  Object.fromEntries(capabilitiesOf(how, ends).map(({ capability, state }) => [capability, state]));

test('what an earlier migration has left on at one end is switched off, and what both have stays', (t) => {
  const balance = { throughEngines: true, early: false };
  const plain = { throughEngines: false, early: false };
  const left = having('events', 'return-path', 'switchover-ack', 'postcopy-ram', 'postcopy-preempt');
  t.like(states(balance, [left, having()]), {
    'return-path': true,
    'switchover-ack': true,
    'postcopy-ram': false,
    'postcopy-preempt': false,
  });
  t.like(states(plain, [left, having()]), { 'switchover-ack': false, 'postcopy-ram': false });
  t.false('return-path' in states(plain, [left, having()]));
  t.like(states(plain, [left, left]), {
    'switchover-ack': true,
    'postcopy-ram': true,
    'postcopy-preempt': true,
  });
  t.like(states({ throughEngines: true, early: true }, [having(), having('postcopy-preempt')]), {
    events: true,
    'postcopy-ram': true,
    'postcopy-preempt': false,
  });
});

test('an acknowledgement that one end does not know is not waited for', (t) => {
  const old = having().filter(({ capability }) => capability !== 'switchover-ack');
  const balance = { throughEngines: true, early: false };
  t.is(states(balance, [having('switchover-ack'), old])['switchover-ack'], false);
  t.false('switchover-ack' in states(balance, [old, old]));
});

/** Answers as a QEMU that has migrated before, and records what it is told. */
class FakeQemu {
  readonly told: { readonly command: string; readonly given: unknown }[] = [];
  /** Called before the answer to each command. */
  onCommand: (command: string) => Promise<void> = () => Promise.resolve();
  status = 'completed';

  async execute(command: string, given: unknown = {}): Promise<unknown> {
    this.told.push({ command, given });
    await this.onCommand(command);
    switch (command) {
      case 'query-status':
        return { status: 'running', running: true };
      case 'query-migrate':
        return { status: this.status };
      case 'query-migrate-capabilities':
        return having('postcopy-ram');
      case 'query-migrate-parameters':
        return known;
      case 'migrate':
        this.status = 'active';
        return {};
      case 'migrate_cancel':
        this.status = 'cancelled';
        return {};
      default:
        return {};
    }
  }

  client(): QmpClient {
    return this as unknown as QmpClient;
  }

  count(command: string): number {
    return this.told.filter((one) => one.command === command).length;
  }
}

const driverOf = (source: FakeQemu, target: FakeQemu, timeoutMs?: number): Driver =>
  qmpDriver({
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    source: source.client(),
    target: target.client(),
    ...uris,
    throughEngines: true,
    early: false,
  });

test('Ctrl-C before QEMU was told, though it has migrated before: nothing begins', async (t) => {
  const [source, target] = [new FakeQemu(), new FakeQemu()];
  const driver = driverOf(source, target);
  target.onCommand = async (command) => {
    if (command === 'migrate-incoming') await driver.abort();
  };
  t.like(await driver.migrate(), { succeeded: false });
  t.is(source.count('migrate'), 0);
  t.is(source.count('migrate_cancel'), 0);
});

test('Ctrl-C while QEMU is told has to be said again; then the migration is cancelled, and the source is as it was', async (t) => {
  const [source, target] = [new FakeQemu(), new FakeQemu()];
  const driver = driverOf(source, target);
  source.onCommand = async (command) => {
    if (command === 'migrate') await t.throwsAsync(driver.abort());
    if (command === 'query-migrate') await driver.abort();
  };
  t.like(await driver.migrate(), { succeeded: false });
  t.is(source.count('migrate_cancel'), 1);
  const [set, back] = source.told.filter(({ command }) => command === 'migrate-set-capabilities');
  t.like(set?.given, { capabilities: { length: 4 } });
  t.deepEqual(back?.given, {
    capabilities: [
      { capability: 'return-path', state: false },
      { capability: 'switchover-ack', state: false },
      { capability: 'postcopy-ram', state: true },
      { capability: 'postcopy-preempt', state: false },
    ],
  });
  t.deepEqual(
    source.told.filter(({ command }) => command === 'migrate-set-parameters').map(({ given }) => given),
    [{ 'max-bandwidth': 100e9 }, { 'max-bandwidth': 134_217_728 }],
  );
});

test('a migration that QEMU may have begun, though its answer is lost, is cancelled: nobody would continue the target', async (t) => {
  const [source, target] = [new FakeQemu(), new FakeQemu()];
  source.onCommand = (command) =>
    command === 'migrate'
      ? Promise.reject(new CodedError('qmp', 'connection-lost', 'the connection to QEMU ended'))
      : Promise.resolve();
  t.like(await driverOf(source, target).migrate(), { succeeded: false });
  t.deepEqual(
    source.told.map(({ command }) => command).filter((command) => command.startsWith('migrate')),
    [
      ...['migrate-set-capabilities', 'migrate-set-parameters', 'migrate', 'migrate_cancel'],
      ...['migrate-set-capabilities', 'migrate-set-parameters'],
    ],
  );
  t.is(target.count('cont'), 0);
});

test('a VM that --timeout has stopped goes on at the source where its migration is cancelled, and there alone', async (t) => {
  for (const [status, continued] of [
    ['cancelled', 1],
    ['completed', 0],
  ] as const) {
    const [source, target] = [new FakeQemu(), new FakeQemu()];
    const driver = driverOf(source, target, 1);
    source.onCommand = (command) => {
      if (command === 'stop') source.status = status;
      return Promise.resolve();
    };
    t.like(await driver.migrate(), { succeeded: status === 'completed' });
    t.is(source.count('stop'), 1);
    t.is(source.count('cont'), continued);
    t.is(target.count('cont'), 1 - continued);
  }
});

test('a source that has migrated is not said to be paused: nobody is to continue it', (t) => {
  t.is(sourceStateOf('postmigrate'), 'absent');
  t.is(sourceStateOf('running'), 'running');
  t.is(sourceStateOf('finish-migrate'), 'paused');
  t.is(sourceStateOf('shutdown'), 'ended');
  t.is(sourceStateOf('something new'), 'unknown');
});

test('a target that waits has nothing', (t) => {
  t.is(targetStateOf('inmigrate'), 'absent');
  t.is(targetStateOf('paused'), 'paused');
  t.is(targetStateOf('running'), 'running');
  t.is(targetStateOf('shutdown'), 'ended');
  t.is(targetStateOf('something new'), 'unknown');
});

test('a QEMU that does not answer has ended only where its process is known to be gone', async (t) => {
  const lost = (hasEnded?: () => Promise<boolean>): Qemu => {
    const qemu = new FakeQemu();
    qemu.onCommand = () => Promise.reject(new CodedError('qmp', 'connection-lost', 'gone'));
    return Object.assign(qemu.client(), hasEnded === undefined ? {} : { hasEnded });
  };
  for (const [hasEnded, state] of [
    [() => Promise.resolve(true), 'ended'],
    [() => Promise.resolve(false), 'unknown'],
    [undefined, 'unknown'],
  ] as const) {
    const driver = qmpDriver({
      ...{ ...uris, throughEngines: true, early: false },
      ...{ source: lost(hasEnded), target: new FakeQemu().client() },
    });
    t.deepEqual(await driver.look(), { source: state, destination: 'running' });
  }
});

test("QEMU's figures", (t) => {
  t.deepEqual(jobOf({}), {});
  t.deepEqual(
    jobOf({
      status: 'completed',
      downtime: 12,
      ram: { remaining: 4096, 'dirty-pages-rate': 2 },
    }),
    { remainingBytes: 4096, dirtyBytesPerSecond: 8192, downtimeMs: 12 },
  );
});
