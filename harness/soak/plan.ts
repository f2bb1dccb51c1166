/**
 * What one run of the soak test does: guest, list, engines, storage, and one fault at a moment. Drawn wholly from a seed, so
 * that the seed repeats it. Pure.
 */
import type { GuestProgram } from '../../engine/cli/testing/guest-program.ts';
import type { CachedRun } from '../../engine/cli/testing/vm-pair.ts';
import type { LeavesOut, Strategy } from '../../engine/core/schedule.ts';
import { Random } from '../../engine/simulation/random.ts';

const MiB = 2 ** 20;
const pagesPerMiB = 256;

export const diskBytes = 20 * MiB;

/** Where a proxy stands: source QEMU to its engine, engine to engine, engine to target QEMU, engine to storage. */
export type PlaceName = 'outgoing' | 'link' | 'incoming' | 'storage';

/** `forward` is the way that guest memory takes, for storage the way of the requests. */
export type Direction = 'forward' | 'backward';

const processNames = [
  'source-engine',
  'destination-engine',
  'source-qemu',
  'target-qemu',
  'storage',
] as const;
export type ProcessName = (typeof processNames)[number];

/** A place in a stream. It is held there, the fault happens `beforeMs` later, and the stream goes on `afterMs` after that. */
interface Hold {
  readonly beforeMs: number;
  readonly afterMs: number;
}

export type Moment =
  /** This long after QEMU was told to migrate. */
  | { readonly when: 'time'; readonly afterMs: number }
  /** This long after an engine has reported the event for the first time. */
  | {
      readonly when: 'event';
      readonly engine: 'source' | 'destination';
      readonly event: string;
      readonly afterMs: number;
    }
  /** After so many bytes of all connections at a place. */
  | ({
      readonly when: 'bytes';
      readonly place: PlaceName;
      readonly direction: Direction;
      readonly bytes: number;
    } & Hold)
  /** So many bytes into a section of the device state, counted from 0, or into the description that follows the last one. */
  | ({
      readonly when: 'device-state';
      readonly place: 'outgoing' | 'incoming';
      readonly section: number | 'description';
      readonly bytes: number;
    } & Hold);

/** What is done at the moment. */
export type Action =
  /** Nothing crosses, in either direction, for so long. */
  | { readonly kind: 'pause'; readonly place: PlaceName; readonly forMs: number }
  /** Its connections are ended. */
  | { readonly kind: 'cut'; readonly place: PlaceName; readonly how: 'end' | 'reset' }
  /** Its connections are reset, and new ones too, for so long. */
  | { readonly kind: 'drop'; readonly place: PlaceName; readonly forMs: number }
  | {
      readonly kind: 'slow';
      readonly place: PlaceName;
      readonly bytesPerSecond: number;
      readonly forMs: number;
    }
  /** One bit of what crosses next. QEMU's own sockets have no protection from this, and need none. */
  | {
      readonly kind: 'flip';
      readonly place: 'link' | 'storage';
      readonly direction: Direction;
      /** Which byte of the next chunk, from 0 to 1. */
      readonly fraction: number;
      readonly bit: number;
    }
  | {
      readonly kind: 'signal';
      readonly process: ProcessName;
      readonly signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT';
    }
  /** SIGSTOP, and SIGCONT after so long. */
  | { readonly kind: 'stop'; readonly process: ProcessName; readonly forMs: number }
  /** QMP migrate_cancel at the source. */
  | { readonly kind: 'cancel' }
  /** QMP system_reset at the source. */
  | { readonly kind: 'reset' };

export type Fault =
  | { readonly kind: 'none' }
  /** The target has been started without a device of the source. */
  | { readonly kind: 'missing-device' }
  | { readonly kind: 'action'; readonly action: Action; readonly moment: Moment };

const listKinds = ['right', 'partly-wrong', 'stale', 'none'] as const;
const guestKinds = ['quiet', 'busy', 'writes-listed'] as const;
export const capabilityKinds = ['switchover-ack', 'return-path', 'none'] as const;
/** `postcopy-ram`: early resume, with `switchover-ack`; `postcopy-preempt`: with a second connection, too. */
const earlyCapabilityKinds = ['postcopy-ram', 'postcopy-ram', 'postcopy-preempt'] as const;

export interface SmallPlan {
  readonly seed: number;
  /** Which of the QEMUs that were given, by its place modulo their number. */
  readonly qemu: number;
  readonly ramBytes: number;
  readonly guest: (typeof guestKinds)[number];
  readonly program: GuestProgram;
  readonly list: (typeof listKinds)[number];
  readonly capabilities: (typeof capabilityKinds)[number] | (typeof earlyCapabilityKinds)[number];
  readonly strategy: Strategy;
  /** Early resume: of the list, before the VM moves. */
  readonly beforeSwitchPercent?: number;
  /** Of the link between the engines; undefined: as fast as it goes. */
  readonly linkBytesPerSecond?: number;
  readonly compress: 'none' | 'zstd';
  readonly listAt: 'start' | 'migrate';
  readonly leaveOut: LeavesOut;
  readonly storage: { readonly kind: 'file' } | { readonly kind: 'nbd'; readonly bytesPerSecond: number };
  /** Whether the target was started with -S, and is continued by its manager. */
  readonly target: 'paused' | 'auto-start';
  readonly fault: Fault;
}

/** Draws values of a run. */
export class Draw {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
    // The first numbers of neighbouring seeds resemble each other.
    for (let i = 0; i < 16; i++) this.#random.below(2);
  }

  /** A whole number from `min` to `max`. */
  between(min: number, max: number): number {
    return min + this.#random.below(max - min + 1);
  }

  /** One of them. A value that is named twice comes twice as often. */
  pick<T>(...values: readonly [T, ...T[]]): T {
    return values[this.#random.below(values.length)] ?? values[0];
  }

  /** A whole number from 1 to `max`, each order of magnitude as likely as another. */
  magnitude(max: number): number {
    return Math.max(1, Math.round(Math.exp((this.#random.below(1e6) / 1e6) * Math.log(max))));
  }
}

/** The run of this seed. */
export function smallPlan(seed: number): SmallPlan {
  const draw = new Draw(seed);
  const plan = drawPlan(seed, draw);
  return possible(plan);
}

/** The plan, but for what it cannot test. */
export function possible(plan: SmallPlan): SmallPlan {
  const { fault, capabilities } = plan;
  if (fault.kind !== 'action') return plan;
  const proxied = [fault.action, fault.moment].some((part) => 'place' in part && part.place === 'incoming');
  return {
    ...plan,
    ...(managerOnly(fault.action) ? { target: 'paused' } : {}),
    // Without a return path the engine looks whether the target's process lives: a proxy's always does.
    ...(proxied && capabilities === 'none' ? { capabilities: 'return-path' } : {}),
  };
}

/** With a target that starts by itself these may leave two VMs, as with stock QEMU (docs/engine.md, Ends). */
export function managerOnly(action: Action): boolean {
  switch (action.kind) {
    case 'cancel':
      return true;
    case 'signal':
      return action.process === 'source-engine' && action.signal === 'SIGKILL';
    case 'cut':
    case 'drop':
      return action.place === 'outgoing';
    default:
      return false;
  }
}

function drawPlan(seed: number, draw: Draw): SmallPlan {
  const ramBytes = draw.pick(48, 64, 64) * MiB;
  const guest = draw.pick(...guestKinds, 'quiet');
  const strategy = draw.pick<Strategy>('restore', 'restore', 'balance', 'balance', 'passthrough');
  return {
    seed,
    qemu: draw.between(0, 1e6),
    ramBytes,
    guest,
    program: programOf(guest, ramBytes, draw),
    list: draw.pick('right', 'right', ...listKinds),
    capabilities: draw.pick('switchover-ack', ...capabilityKinds),
    strategy,
    compress: draw.pick('none', 'zstd'),
    listAt: draw.pick('start', 'start', 'migrate'),
    storage: draw.pick<() => SmallPlan['storage']>(
      () => ({ kind: 'file' }),
      () => ({ kind: 'nbd', bytesPerSecond: draw.pick(3, 6, 20) * MiB }),
    )(),
    target: draw.pick('paused', 'paused', 'auto-start'),
    fault: drawFault(draw, strategy),
    // On links as fast as here nothing would be left out mostly.
    leaveOut: draw.pick('always', 'always', 'scarce-link'),
  };
}

/** Listed pages lie from here on; the firmware, and what it leaves behind, lies below. */
const listedFromMiB = 20;
const listedMiB = 16;

/** A loop over pages of their own, or over listed ones. */
function programOf(guest: SmallPlan['guest'], ramBytes: number, draw: Draw): GuestProgram {
  const ownMiB = listedFromMiB + listedMiB + 1;
  const roomMiB = ramBytes / MiB - ownMiB - 1;
  const { fromMiB, sizeMiB, delayRounds } = {
    quiet: { fromMiB: ownMiB, sizeMiB: 1, delayRounds: 400_000 },
    busy: { fromMiB: ownMiB, sizeMiB: roomMiB, delayRounds: 20_000 },
    'writes-listed': {
      fromMiB: listedFromMiB + draw.between(0, 8),
      sizeMiB: draw.pick(1, 4, 8),
      delayRounds: draw.pick(50_000, 200_000),
    },
  }[guest];
  return {
    startBytes: fromMiB * MiB,
    endBytes: (fromMiB + sizeMiB) * MiB,
    strideBytes: draw.pick(4096, 8192, 12_288),
    delayRounds,
  };
}

export interface ListedRuns {
  /** Memory holds what the disk has. */
  readonly right: readonly CachedRun[];
  /** Memory holds something else. */
  readonly wrong: readonly CachedRun[];
  /** The disk is written over after the guest has read it. */
  readonly stale: readonly CachedRun[];
}

/** What the plan's page list names, each page of memory once; `undefined` where there is no list. */
export function listedRuns(plan: SmallPlan): ListedRuns | undefined {
  if (plan.list === 'none') return undefined;
  const draw = new Draw(plan.seed ^ 0x5eed);
  const sorted: { right: CachedRun[]; wrong: CachedRun[]; stale: CachedRun[] } = {
    right: [],
    wrong: [],
    stale: [],
  };
  const endPage = (listedFromMiB + listedMiB) * pagesPerMiB;
  for (let page = listedFromMiB * pagesPerMiB; page < endPage;) {
    const count = Math.min(draw.pick(1, 2, 4, 4, 16), endPage - page);
    const block = draw.between(pagesPerMiB, diskBytes / 4096 - count);
    const kind =
      plan.list === 'partly-wrong'
        ? draw.pick('right', 'right', 'wrong')
        : plan.list === 'stale'
          ? draw.pick('right', 'stale')
          : 'right';
    if (draw.between(0, 9) > 0) sorted[kind].push({ block, page, count });
    page += count;
  }
  return sorted;
}

/** Device state of the small VM has about so many sections; a moment beyond the last one never comes. */
const deviceSections = 30;

/** Events of a source engine at which a fault may come, in the order of a migration. */
export const sourceEvents = [
  'connected',
  'qemu-connected',
  'listed',
  'accepted',
  'planned',
  'first-pass-done',
  'gate-held',
  'gate-released',
  'switch-over',
  'committed',
  'started',
  'done',
] as const;
const destinationEvents = [
  'connected',
  'qemu-connected',
  'storage',
  'switch-over',
  'committed',
  'started',
  'done',
] as const;

function drawFault(draw: Draw, strategy: Strategy): Fault {
  const kind = draw.between(0, 19);
  if (kind === 0) return { kind: 'none' };
  if (kind === 1) return { kind: 'missing-device' };
  const action = drawAction(draw, strategy);
  return { kind: 'action', action, moment: drawMoment(draw, action) };
}

function drawAction(draw: Draw, strategy: Strategy): Action {
  const place = draw.pick<PlaceName>('link', 'link', 'link', 'outgoing', 'incoming', 'storage');
  const process = draw.pick(...processNames);
  const forMs = draw.pick(200, 1000, 3000, 13_000);
  return draw.pick<() => Action>(
    () => ({ kind: 'pause', place, forMs }),
    () => ({ kind: 'cut', place, how: draw.pick('end', 'reset') }),
    () => ({ kind: 'cut', place: 'link', how: draw.pick('end', 'reset') }),
    () => ({ kind: 'drop', place, forMs: draw.pick(200, 2000) }),
    () => ({ kind: 'slow', place, bytesPerSecond: draw.pick(20_000, 300_000), forMs: draw.pick(1000, 4000) }),
    () => ({
      kind: 'flip',
      // Storage is read where pages come from it.
      place: strategy === 'passthrough' ? 'link' : draw.pick('link', 'link', 'storage'),
      direction: draw.pick('forward', 'forward', 'backward'),
      fraction: draw.between(0, 999) / 1000,
      bit: draw.between(0, 7),
    }),
    () => ({ kind: 'signal', process, signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: draw.pick('source-engine', 'destination-engine'), signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: draw.pick('source-engine', 'destination-engine'), signal: 'SIGTERM' }),
    () => ({ kind: 'signal', process: draw.pick('source-engine', 'destination-engine'), signal: 'SIGINT' }),
    () => ({ kind: 'stop', process, forMs }),
    () => ({ kind: 'cancel' }),
    () => ({ kind: 'reset' }),
  )();
}

function drawMoment(draw: Draw, action: Action): Moment {
  const hold = { beforeMs: draw.pick(0, 5, 40, 200), afterMs: draw.pick(0, 500, 5000) };
  const place =
    'place' in action ? action.place : draw.pick<PlaceName>('link', 'link', 'outgoing', 'incoming');
  return draw.pick<() => Moment>(
    () => ({ when: 'time', afterMs: draw.pick(draw.between(0, 300), draw.between(0, 3000)) }),
    () => ({
      when: 'event',
      engine: 'source',
      event: draw.pick(...sourceEvents),
      afterMs: draw.pick(0, draw.between(0, 25), draw.between(0, 500)),
    }),
    () => ({
      when: 'event',
      engine: 'destination',
      event: draw.pick(...destinationEvents),
      afterMs: draw.pick(0, draw.between(0, 25)),
    }),
    () => ({
      when: 'bytes',
      place,
      direction: draw.pick('forward', 'forward', 'backward'),
      bytes: draw.magnitude(16 * MiB),
      ...hold,
    }),
    ...Array.from({ length: 3 }, () => (): Moment => ({
      when: 'device-state',
      place: draw.pick('outgoing', 'outgoing', 'incoming'),
      section: draw.pick<number | 'description'>(
        'description',
        draw.between(0, deviceSections),
        draw.between(0, deviceSections),
      ),
      bytes: draw.magnitude(400),
      ...hold,
    })),
  )();
}

/** Where the VM moves before its memory, and after. */
const earlyEvents: Readonly<Record<'source' | 'destination', readonly [string, ...string[]]>> = {
  source: [
    'may-move',
    'gate-released',
    'switch-over',
    'committed',
    'moved',
    'source-free',
    'started',
    'done',
  ],
  destination: ['connected', 'switch-over', 'committed', 'moved', 'source-free', 'started', 'done'],
};

/** An early resume with a fault: nothing but what breaks connections, processes and time, since QEMU's post-copy is not cancelled. */
export function earlyPlan(seed: number): SmallPlan {
  const plan = smallPlan(seed);
  const draw = new Draw(seed ^ 0xea71);
  return {
    ...plan,
    guest: plan.guest === 'busy' ? 'writes-listed' : plan.guest,
    program: plan.guest === 'busy' ? programOf('writes-listed', plan.ramBytes, draw) : plan.program,
    // Without a list there is nothing to follow the VM.
    list: plan.list === 'none' ? 'right' : plan.list,
    capabilities: draw.pick(...earlyCapabilityKinds),
    strategy: 'resume',
    beforeSwitchPercent: draw.pick(0, 0, 30, 90, 100),
    // Both slow enough that much is missing when the VM has moved.
    linkBytesPerSecond: draw.pick(1, 2, 4, 20) * MiB,
    storage: { kind: 'nbd', bytesPerSecond: draw.pick(1, 3, 20) * MiB },
    target: 'paused',
    fault: drawEarlyFault(draw),
  };
}

function drawEarlyFault(draw: Draw): Fault {
  if (draw.between(0, 14) === 0) return { kind: 'none' };
  const engine = draw.pick('source-engine', 'destination-engine');
  const action = draw.pick<() => Action>(
    () => ({ kind: 'signal', process: engine, signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: engine, signal: 'SIGKILL' }),
    () => ({ kind: 'signal', process: engine, signal: draw.pick('SIGTERM', 'SIGINT') }),
    () => ({
      kind: 'signal',
      process: draw.pick('source-qemu', 'source-qemu', 'target-qemu'),
      signal: 'SIGKILL',
    }),
    () => ({ kind: 'cut', place: 'link', how: draw.pick('end', 'reset') }),
    () => ({ kind: 'cut', place: 'link', how: draw.pick('end', 'reset') }),
    () => ({ kind: 'pause', place: 'link', forMs: draw.pick(200, 1000, 3000) }),
    () => ({ kind: 'slow', place: 'link', bytesPerSecond: draw.pick(100_000, 1_000_000), forMs: 4000 }),
    () => ({ kind: 'pause', place: 'storage', forMs: draw.pick(200, 1000, 3000) }),
    () => ({
      kind: 'stop',
      process: draw.pick(engine, 'source-qemu', 'target-qemu'),
      forMs: draw.pick(200, 1000, 3000),
    }),
  )();
  const moment = draw.pick<() => Moment>(
    () => ({ when: 'time', afterMs: draw.between(0, 4000) }),
    ...(['source', 'source', 'destination', 'destination'] as const).map((side) => (): Moment => ({
      when: 'event',
      engine: side,
      event: draw.pick(...earlyEvents[side]),
      afterMs: draw.pick(0, draw.between(0, 25), draw.between(0, 500)),
    })),
    () => ({
      when: 'bytes',
      place: 'link',
      direction: draw.pick('forward', 'forward', 'backward'),
      bytes: draw.magnitude(16 * MiB),
      beforeMs: draw.pick(0, 40),
      afterMs: draw.pick(0, 500),
    }),
  )();
  return { kind: 'action', action, moment };
}

/** In a few words, for progress lines and the table. */
export function faultName({ fault }: Pick<SmallPlan, 'fault'>): string {
  if (fault.kind !== 'action') return fault.kind;
  const { action } = fault;
  switch (action.kind) {
    case 'signal':
      return `${action.signal} ${action.process}`;
    case 'stop':
      return `SIGSTOP ${action.process}`;
    case 'cancel':
      return 'migrate_cancel';
    case 'reset':
      return 'guest reset';
    default:
      return `${action.kind} ${action.place}`;
  }
}

export function momentName({ fault }: Pick<SmallPlan, 'fault'>): string {
  if (fault.kind !== 'action') return '';
  const { moment } = fault;
  switch (moment.when) {
    case 'time':
      return `after ${moment.afterMs} ms`;
    case 'event':
      return `${moment.afterMs} ms after ${moment.engine}'s ${moment.event}`;
    case 'bytes':
      return `at byte ${moment.bytes} ${moment.direction} of ${moment.place}`;
    case 'device-state':
      return `${moment.bytes} bytes into ${moment.section === 'description' ? 'the description' : `device section ${moment.section}`} of ${moment.place}`;
  }
}
