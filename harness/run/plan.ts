/** What a run needs and how long it will take, worked out before anything starts. Pure. */
import { gib, gibibytes, mib } from '../../foundation/quantity.ts';
import type { Configuration } from '../../experiments/configuration.ts';
import { type Engine, engineNames, engines } from '../../experiments/engines.ts';
import { memValues, type PaperRow, paperRows } from '../../experiments/paper-rows.ts';

interface Need {
  readonly what: string;
  readonly bytes: number;
}

export interface Machine {
  readonly memoryAvailableBytes: number;
  readonly diskAvailableBytes: number;
}

/** Memory of the local lab at its peak: both VMs exist while one migrates. */
export function memoryNeeds(configuration: Configuration): readonly Need[] {
  const { vms = 1, vmMemoryBytes } = configuration;
  return [
    { what: vms === 1 ? 'source VM' : `${vms} source VMs`, bytes: vms * vmMemoryBytes },
    { what: vms === 1 ? 'target VM' : `${vms} target VMs`, bytes: vms * vmMemoryBytes },
    { what: vms === 1 ? 'two QEMU processes' : `${2 * vms} QEMU processes`, bytes: vms * 600 * mib },
    { what: 'four hosts, NFS server, sysbench, harness', bytes: 900 * mib },
  ];
}

/** Disk: data folder, image and the run's own copy of the image, each as large as the tables, and what the guests hold. */
export function diskNeeds(configuration: Configuration): readonly Need[] {
  const engine = engines[configuration.engine];
  const hasStandby = engine.kind === 'restart' && engine.standby !== undefined;
  const { vms = 1 } = configuration;
  const imageBytes = configuration.tableDataBytes + 900 * mib;
  return [
    {
      what:
        vms === 1 ? 'data folder, image and its working copy' : 'data folder, image and its working copies',
      bytes: (2 + vms) * imageBytes,
    },
    ...(hasStandby ? [{ what: 'image of the VM on standby', bytes: imageBytes }] : []),
    ...(configuration.warmStart === true
      ? [
          {
            what: vms === 1 ? 'kept guest: its memory and its disk' : 'kept guests: their memory and disks',
            bytes: vms * (configuration.vmMemoryBytes + imageBytes),
          },
        ]
      : []),
    { what: "hosts' root file system", bytes: gib },
  ];
}

type Fit = { readonly fits: true } | { readonly fits: false; readonly reason: string };

const total = (needs: readonly Need[]): number => needs.reduce((sum, need) => sum + need.bytes, 0);

/** Says whether the local lab fits this machine; if not, the sum that shows why and the nearest that does fit. */
export function checkCapacity(configuration: Configuration, machine: Machine): Fit {
  const checks = [
    { resource: 'memory', needs: memoryNeeds(configuration), available: machine.memoryAvailableBytes },
    { resource: 'disk', needs: diskNeeds(configuration), available: machine.diskAvailableBytes },
  ];
  for (const { resource, needs, available } of checks) {
    if (total(needs) <= available) continue;
    const sum = needs.map((need) => `${gibibytes(need.bytes)} ${need.what}`).join(' + ');
    return {
      fits: false,
      reason: `not enough ${resource}: ${sum} = ${gibibytes(total(needs))}, but ${gibibytes(available)} are free; ${nearest(configuration, machine)}`,
    };
  }
  return { fits: true };
}

/** Says whether what the options ask for goes together. */
export function checkCombination(configuration: Configuration): Fit {
  const { testbed, inventory } = configuration;
  if (testbed === 'inventory' && inventory === undefined)
    return { fits: false, reason: '--testbed inventory needs --inventory hosts.yaml (docs/real-hosts.md)' };
  if (testbed !== 'inventory' && inventory !== undefined)
    return {
      fits: false,
      reason: `--inventory does not go with --testbed ${testbed}; valid: --testbed inventory`,
    };
  const engine = engines[configuration.engine];
  if (configuration.vms !== undefined && !movesSeveral(engine))
    return {
      fits: false,
      reason: `--vms ${configuration.vms} does not go with --engine ${configuration.engine}, which ${engine.kind === 'restart' ? 'starts the server in another VM' : 'resizes the pool of one server'}; valid: ${engineNames.filter((name) => movesSeveral(engines[name])).join(', ')}`,
    };
  if (engine.kind === 'restart' && configuration.verifyRam)
    return {
      fits: false,
      reason: `--verify-ram does not go with --engine ${configuration.engine}: the VM at the destination is a new one, with other RAM`,
    };
  if (engine.kind === 'restart' && configuration.dbms === 'postgresql')
    return {
      fits: false,
      reason: `--engine ${configuration.engine} does not go with --dbms postgresql: it needs a server that writes down what its buffer pool holds and reads it again; valid: --dbms mariadb${engine.standby === 'replica' ? '' : ', mysql'}`,
    };
  if (configuration.warehouses !== undefined && configuration.dbms === 'postgresql')
    return {
      fits: false,
      reason: `--scenario ${configuration.scenario} does not go with --dbms postgresql: its statements are MySQL's; valid: --dbms mariadb, mysql`,
    };
  if (engine.kind === 'restart' && engine.standby === 'replica' && configuration.dbms !== 'mariadb')
    return {
      fits: false,
      reason: `--engine ${configuration.engine} does not go with --dbms ${configuration.dbms}: it copies with mariadb-backup; valid: --dbms mariadb`,
    };
  const shrinks = engine.kind === 'stock' && engine.shrinksPoolTo !== undefined;
  if (shrinks && configuration.verifyRam)
    return {
      fits: false,
      reason: `--verify-ram does not go with --engine ${configuration.engine}: the VM has to run to fill its pool again`,
    };
  if (shrinks && configuration.dbms !== 'mariadb')
    return {
      fits: false,
      reason: `--engine ${configuration.engine} does not go with --dbms ${configuration.dbms}, which ${configuration.dbms === 'postgresql' ? 'cannot make its shared buffers smaller while it runs' : 'keeps the memory of a pool that it makes smaller'}; valid: --dbms mariadb`,
    };
  return { fits: true };
}

/** Methods that move a VM as it is. */
function movesSeveral(engine: Engine): boolean {
  return engine.kind === 'poolshift' || (engine.kind === 'stock' && engine.shrinksPoolTo === undefined);
}

function nearest(configuration: Configuration, machine: Machine): string {
  const fits = ({ paperRowGib, poolInUseGib }: PaperRow, scale: number): boolean => {
    const scaled = {
      ...configuration,
      vmMemoryBytes: (paperRowGib * gib) / scale,
      tableDataBytes: (poolInUseGib * gib) / scale,
    };
    return (
      total(memoryNeeds(scaled)) <= machine.memoryAvailableBytes &&
      total(diskNeeds(scaled)) <= machine.diskAvailableBytes
    );
  };
  const asked = paperRows[configuration.paperRowGib];
  for (let scale = Math.ceil(configuration.scale); scale <= 64; scale += 1) {
    if (fits(asked, scale)) return `nearest that fits: --scale ${scale}`;
  }
  const mem = memValues.findLast((value) => fits(paperRows[value], configuration.scale));
  return mem === undefined ? 'no row fits this machine' : `nearest that fits: --mem ${mem}`;
}

/** Where no load runs, probes see the quiet VM for at most this long before the migration, and after it. */
const maxIdleSeconds = 5;

/** How long the VM is watched before the migration and after it, in s. */
export function watchedSeconds({
  scenario,
  beforeSeconds,
  afterSeconds,
}: Pick<Configuration, 'scenario' | 'beforeSeconds' | 'afterSeconds'>): {
  readonly before: number;
  readonly after: number;
} {
  const max = scenario === 'idle' ? maxIdleSeconds : Number.POSITIVE_INFINITY;
  return { before: Math.min(beforeSeconds, max), after: Math.min(afterSeconds, max) };
}

interface PlannedStep {
  readonly name: string;
  readonly durationSeconds: number;
}

/** What is left of a link for TCP payload, as measured. */
const payloadBytesPerSecond = (bitsPerSecond: number): number => (bitsPerSecond / 8) * 0.955;
/** 12 % of a warmed guest is zero pages, which cost nothing to send; of an aged one about half as many. */
const nonZeroShare = { fresh: 0.88, aged: 0.94 } as const;
/** What zstd makes of a database's memory. */
const compressionRatio = 2.4;

/** How long the method takes to move the VMs if the guests write little: what crosses the links, over their rates. */
function moveSeconds(configuration: Configuration): number {
  // VMs that move at once share the links.
  const { vms = 1 } = configuration;
  const migration = payloadBytesPerSecond(configuration.linkBitsPerSecond) / vms;
  const storage = payloadBytesPerSecond(configuration.storageLinkBitsPerSecond) / vms;
  const engine = engines[configuration.engine];
  const memoryBytes = nonZeroShare[configuration.guest ?? 'fresh'] * configuration.vmMemoryBytes;
  switch (engine.kind) {
    case 'restart':
      // The server stops, a guest boots unless one waits, and the pool is read over the storage network.
      // A replica is copied, written, prepared and read.
      if (engine.standby === 'replica') return 30 + (3 * configuration.tableDataBytes) / storage;
      return (engine.standby === undefined ? 18 : 8) + configuration.tableDataBytes / storage;
    case 'stock': {
      const ratio = engine.parameters['multifd-compression'] === undefined ? 1 : compressionRatio;
      // What a pool that was shrunk does not send, it reads afterwards.
      return memoryBytes / (ratio * migration);
    }
    case 'poolshift': {
      const listedBytes = Math.min(configuration.tableDataBytes, configuration.bufferPoolBytes);
      const others = memoryBytes - listedBytes;
      if (engine.strategy === 'restore') return Math.max(listedBytes / storage, others / migration);
      const compressed = compressionRatio * migration;
      // Storage has the listed pages only.
      return Math.max(others / compressed, memoryBytes / (compressed + storage));
    }
  }
}

/** Expected duration of each step, from rates measured in the local lab (docs/measurements.md); preparation excluded. */
export function expectedSteps(
  configuration: Configuration,
  accelerator: 'tcg' | 'kvm',
): readonly PlannedStep[] {
  const storageBytesPerSecond = payloadBytesPerSecond(configuration.storageLinkBitsPerSecond);
  const warmUpBytesPerSecond = accelerator === 'tcg' ? 17e6 : storageBytesPerSecond;
  // Two programs and a shell are started; writing what is free takes little.
  const aging =
    accelerator === 'tcg'
      ? { startSeconds: 8, bytesPerSecond: 400e6 }
      : { startSeconds: 1, bytesPerSecond: 2e9 };
  const checkBytesPerSecond = accelerator === 'tcg' ? 30e6 : 400e6;
  const watched = watchedSeconds(configuration);
  const { vms = 1 } = configuration;
  const startSteps =
    configuration.warmStart === true
      ? [
          {
            name: 'start the warmed source VM',
            durationSeconds: 2 + (vms * configuration.vmMemoryBytes) / 400e6,
          },
        ]
      : [
          { name: 'boot the source VM', durationSeconds: accelerator === 'tcg' ? 25 : 12 },
          { name: 'warm the pool', durationSeconds: configuration.tableDataBytes / warmUpBytesPerSecond },
          ...(configuration.guest === 'aged'
            ? [
                {
                  name: 'age the guest',
                  durationSeconds: aging.startSeconds + configuration.vmMemoryBytes / aging.bytesPerSecond,
                },
              ]
            : []),
          { name: 'wait for the guest agent', durationSeconds: accelerator === 'tcg' ? 5 : 1 },
        ];
  return [
    { name: 'bring the lab up', durationSeconds: 6 },
    {
      name: 'copy the disk image',
      durationSeconds: (vms * (configuration.tableDataBytes + 500 * mib)) / 500e6,
    },
    ...startSteps,
    { name: 'load before the migration', durationSeconds: watched.before },
    { name: 'migrate', durationSeconds: Math.min(moveSeconds(configuration), configuration.maxTimeSeconds) },
    { name: 'load after the migration', durationSeconds: watched.after },
    { name: 'check', durationSeconds: 3 + configuration.tableDataBytes / checkBytesPerSecond },
    { name: 'take the lab down', durationSeconds: 3 },
  ];
}

/** Steps whose length is configured, whatever the machine, in s. */
export function timedSteps(configuration: Configuration): ReadonlyMap<string, number> {
  return new Map(
    expectedSteps(configuration, 'tcg')
      .filter(({ name }) => name.startsWith('load '))
      .map(({ name, durationSeconds }) => [name, durationSeconds]),
  );
}

/** Sum of the steps. */
export function expectedSeconds(configuration: Configuration, accelerator: 'tcg' | 'kvm'): number {
  return expectedSteps(configuration, accelerator).reduce((sum, step) => sum + step.durationSeconds, 0);
}
