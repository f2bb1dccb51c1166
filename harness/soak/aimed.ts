/**
 * Every fault at every moment of the switchover, one after the other: what random runs come to only now and then. Pure.
 */
import { type Action, type Fault, type Moment, possible, smallPlan, type SmallPlan } from './plan.ts';

/** The stream is held at the moment: the fault comes when all that was sent before has been taken. */
const hold = { beforeMs: 30, afterMs: 300 };

const actions: readonly [Action, ...Action[]] = [
  { kind: 'cut', place: 'link', how: 'end' },
  { kind: 'signal', process: 'source-engine', signal: 'SIGKILL' },
  { kind: 'signal', process: 'destination-engine', signal: 'SIGKILL' },
  { kind: 'cancel' },
  { kind: 'signal', process: 'source-engine', signal: 'SIGTERM' },
  { kind: 'signal', process: 'target-qemu', signal: 'SIGKILL' },
  { kind: 'cut', place: 'link', how: 'reset' },
  { kind: 'signal', process: 'destination-engine', signal: 'SIGINT' },
  { kind: 'signal', process: 'source-qemu', signal: 'SIGKILL' },
  { kind: 'cut', place: 'incoming', how: 'end' },
  { kind: 'cut', place: 'outgoing', how: 'end' },
  { kind: 'stop', process: 'destination-engine', forMs: 13_000 },
  { kind: 'stop', process: 'target-qemu', forMs: 3000 },
];

/** Sections of the small VM's device state, and places in the description behind them. */
const deviceSections = 24;
const places: readonly (readonly [section: number | 'description', bytes: number])[] = [
  ...Array.from({ length: deviceSections }, (_, section) => [section, section % 2 === 0 ? 0 : 7] as const),
  ['description', 0],
  ['description', 5],
  ['description', 3000],
];

const moments: readonly [Moment, ...Moment[]] = [
  // After the commit, on the way to the target.
  { when: 'event', engine: 'source', event: 'committed', afterMs: 0 },
  { when: 'event', engine: 'destination', event: 'committed', afterMs: 0 },
  { when: 'event', engine: 'destination', event: 'started', afterMs: 0 },
  { when: 'event', engine: 'source', event: 'started', afterMs: 0 },
  { when: 'event', engine: 'source', event: 'committed', afterMs: 3 },
  ...places.map(([section, bytes]): Moment => ({
    when: 'device-state',
    place: 'outgoing',
    section,
    bytes,
    ...hold,
  })),
  ...places.map(([section, bytes]): Moment => ({
    when: 'device-state',
    place: 'incoming',
    section,
    bytes,
    ...hold,
  })),
];

/** Settings that change what a break means. */
const settings: readonly Pick<SmallPlan, 'capabilities' | 'target' | 'strategy'>[] = [
  { capabilities: 'switchover-ack', target: 'auto-start', strategy: 'restore' },
  { capabilities: 'return-path', target: 'paused', strategy: 'passthrough' },
  { capabilities: 'none', target: 'auto-start', strategy: 'passthrough' },
  { capabilities: 'switchover-ack', target: 'paused', strategy: 'balance' },
  { capabilities: 'return-path', target: 'auto-start', strategy: 'passthrough' },
  { capabilities: 'none', target: 'paused', strategy: 'restore' },
];

/** Runs until every fault has met every moment once. */
export const aimedRuns = actions.length * moments.length;

/** The run of this number. Neighbours differ in all: any few hundred of them are a fair part of the whole. */
export function aimedPlan(number: number): SmallPlan {
  const action = actions[number % actions.length] ?? actions[0];
  // The counts have no common divisor, so that each pair comes once.
  const moment = moments[number % moments.length] ?? moments[0];
  const setting = settings[Math.floor(number / actions.length + number) % settings.length] ?? settings[0];
  const fault: Fault = number % 50 === 49 ? { kind: 'missing-device' } : { kind: 'action', action, moment };
  const plan = smallPlan(number);
  return possible({
    ...plan,
    ...setting,
    ramBytes: 48 * 2 ** 20,
    guest: 'quiet',
    list: 'right',
    storage: { kind: 'file' },
    fault,
  });
}
