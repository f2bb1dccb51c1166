/** What one run with a database does, drawn wholly from a seed. Pure. */
import type { EngineEvent } from '../../engine/core/engine-event.ts';
import type { LeavesOut, Strategy } from '../../engine/core/schedule.ts';
import { type Action, capabilityKinds, Draw, type Fault, type Moment, sourceEvents } from './plan.ts';

export interface DbPlan {
  readonly seed: number;
  readonly strategy: Strategy;
  readonly compress: 'none' | 'zstd';
  readonly listAt: 'start' | 'migrate';
  readonly leaveOut: LeavesOut;
  readonly capabilities: (typeof capabilityKinds)[number];
  /** Where the engine reads the guest's memory. */
  readonly ram: 'file' | 'pid';
  /** Transactions per second that sysbench aims at. */
  readonly rateTps: number;
  /** Load goes on for so long before the migration. */
  readonly beforeMs: number;
  /** Whether the target is continued only after both memories were compared. */
  readonly comparesRam: boolean;
  /** Places are networks: `link` is the migration network, `storage` the storage network at the destination. */
  readonly fault: Fault;
}

/** A migration takes about so long where nothing disturbs it. */
const usualMs = 15_000;

const destinationEvents = [
  'qemu-connected',
  'storage',
  'switch-over',
  'committed',
  'started',
  'done',
] as const satisfies readonly EngineEvent['event'][];

/** The run of this seed. */
export function dbPlan(seed: number): DbPlan {
  const draw = new Draw(seed);
  return {
    seed,
    strategy: draw.pick<Strategy>('restore', 'restore', 'balance', 'balance', 'passthrough'),
    compress: draw.pick('none', 'zstd'),
    listAt: draw.pick('start', 'migrate'),
    capabilities: draw.pick('switchover-ack', ...capabilityKinds),
    ram: draw.pick('file', 'pid'),
    rateTps: draw.pick(2, 8, 20),
    beforeMs: draw.between(2000, 6000),
    comparesRam: draw.pick(true, false),
    fault: drawFault(draw),
    leaveOut: draw.pick('always', 'always', 'scarce-link'),
  };
}

function drawFault(draw: Draw): Fault {
  const kind = draw.between(0, 14);
  if (kind === 0) return { kind: 'none' };
  if (kind === 1) return { kind: 'missing-device' };
  return { kind: 'action', action: drawAction(draw), moment: drawMoment(draw) };
}

function drawAction(draw: Draw): Action {
  const engine = draw.pick('source-engine', 'destination-engine');
  const qemu = draw.pick('source-qemu', 'target-qemu', 'target-qemu');
  return draw.pick<() => Action>(
    () => ({ kind: 'signal', process: engine, signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: engine, signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: engine, signal: draw.pick('SIGTERM', 'SIGINT') }),
    () => ({ kind: 'stop', process: engine, forMs: draw.pick(1000, 5000, 15_000) }),
    () => ({ kind: 'signal', process: qemu, signal: 'SIGKILL' }),
    () => ({ kind: 'stop', process: qemu, forMs: draw.pick(1000, 5000) }),
    // Longer than the engines wait, and not.
    () => ({ kind: 'pause', place: 'link', forMs: draw.pick(60_000, 60_000, 5000, 1000) }),
    () => ({ kind: 'slow', place: 'link', bytesPerSecond: draw.pick(300_000, 1_000_000), forMs: 8000 }),
    () => ({ kind: 'pause', place: 'storage', forMs: draw.pick(1000, 5000, 12_000) }),
    () => ({ kind: 'slow', place: 'storage', bytesPerSecond: draw.pick(500_000, 2_000_000), forMs: 8000 }),
    () => ({ kind: 'cancel' }),
  )();
}

/** Most lie around the switchover, where the VM can be lost. */
function drawMoment(draw: Draw): Moment {
  return draw.pick<() => Moment>(
    () => ({ when: 'time', afterMs: draw.between(0, usualMs) }),
    () => ({
      when: 'event',
      engine: 'source',
      event: draw.pick(...sourceEvents),
      afterMs: draw.pick(0, draw.between(0, 2000)),
    }),
    () => ({
      when: 'event',
      engine: 'destination',
      event: draw.pick(...destinationEvents),
      afterMs: draw.pick(0, draw.between(0, 200)),
    }),
    () => ({
      when: 'event',
      engine: draw.pick('source', 'destination'),
      event: draw.pick('switch-over', 'committed', 'started'),
      afterMs: draw.pick(0, draw.between(0, 100)),
    }),
  )();
}
