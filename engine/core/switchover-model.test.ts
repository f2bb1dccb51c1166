/**
 * Both engines' switchover between two modelled QEMUs and a link that loses what is on it, with every fault at every moment.
 * All reachable states are visited, so that nothing depends on luck; a random walk with several faults goes where the search
 * is bounded to two.
 */
import test from 'ava';
import { Random } from '../simulation/random.ts';
import {
  type DestinationEvent,
  type DestinationState,
  destinationStart,
  stepDestination,
  targetNeverRuns,
} from './destination-switchover.ts';
import { type SourceEvent, type SourceState, sourceStart, stepSource } from './source-switchover.ts';

/** What an engine has beside its state is not modelled. */
interface Parts {
  readonly link: null;
  readonly serving: null;
}
type State = DestinationState<Parts>;
type ToDestination = 'begins' | 'confirm' | 'package' | 'rest' | 'commit' | 'end' | 'abort' | 'closed';
type ToSource = 'confirmed' | 'moved' | 'started' | 'target-failed' | 'in-doubt' | 'closed';

interface World {
  readonly returnPath: boolean;
  /** The target runs its VM by itself; else a manager continues it once the source's QEMU says `completed`. */
  readonly autoStart: boolean;
  readonly lacksDevice: boolean;
  /**
   * Early resume: QEMU becomes post-copy. The manager stops the source's VM itself, so that QEMU does not let it run on, and
   * continues one of the two only when the source engine has said where the VM is.
   */
  readonly early: boolean;
  source: SourceState | 'dead';
  destination: State | 'dead';
  /** Its process is there, takes nothing and says nothing. */
  destinationHangs: boolean;
  /** The destination has been asked to confirm all that comes before the end, or the package; it has answered. */
  confirm: 'not-asked' | 'asked' | 'answered';
  /**
   * A device's content was taken for the end of the stream: \`open\` as long as the destination has not got what follows it.
   */
  forgedEnd: 'no' | 'open' | 'passed';
  /** Early resume: a package was made of what came before such an end, and is `there` with the target, which cannot load it. */
  cutPackage: 'no' | 'sent' | 'there';
  link: 'up' | 'broken';
  readonly toDestination: ToDestination[];
  readonly toSource: ToSource[];
  sourceQemu: {
    vm: 'running' | 'stopped';
    /** `packaged`: its package is out, and its own pages follow; `sent`: and they are out. */
    migration: 'setup' | 'sending' | 'packaged' | 'sent' | 'completed' | 'failed' | 'dead';
    /** The engine has yet to see that QEMU closed its connection. */
    closeUnseen: boolean;
    endUnseen: boolean;
  };
  target: {
    /** What it has, or will read in any case: it lies in the kernel. */
    has: 'nothing' | 'memory' | 'package' | 'all';
    /** `moved`: it has the VM, without all pages. */
    is: 'loading' | 'moved' | 'loaded' | 'failed' | 'dead';
    vm: 'absent' | 'paused' | 'running';
    /** The destination engine has yet to see what became of it. */
    wordUnseen: boolean;
    connected: boolean;
  };
  /** Released by the destination engine and not in the kernel yet. */
  undelivered: boolean;
  /** The source engine has said so. */
  saidMoved: boolean;
  /** The end of a stream that has become post-copy is in the kernel. */
  endDelivered: boolean;
  /** Early resume: storage has all that the VM misses at the destination. */
  readonly onStorage: boolean;
  faults: number;
  /** A cancelled QEMU or a killed source engine after the commit: what nobody but a manager can make safe. */
  beyondEngines: boolean;
}

const why = new Error('a fault');

function begin(kind: Pick<World, 'returnPath' | 'autoStart' | 'lacksDevice' | 'early' | 'onStorage'>): World {
  return {
    ...kind,
    source: stepSource(sourceStart, { type: 'greeted' }).state,
    destination: stepDestination<Parts>(destinationStart, { type: 'greeted', parts: null }).state,
    ...{ destinationHangs: false, confirm: 'not-asked', forgedEnd: 'no', cutPackage: 'no' },
    link: 'up',
    toDestination: [],
    toSource: [],
    sourceQemu: { vm: 'running', migration: 'setup', closeUnseen: false, endUnseen: false },
    target: { has: 'nothing', is: 'loading', vm: 'absent', wordUnseen: false, connected: true },
    undelivered: false,
    saidMoved: false,
    endDelivered: false,
    faults: 0,
    beyondEngines: false,
  };
}

function sourceTakes(world: World, event: SourceEvent): void {
  if (world.source === 'dead') return;
  const { state, actions } = stepSource(world.source, event);
  const wasOver = world.source.is === 'over';
  world.source = state;
  if (state.is === 'draining') world.saidMoved = true;
  for (const action of actions) {
    switch (action.do) {
      case 'commit':
        send(world, world.toDestination, 'commit');
        break;
      case 'abort':
        send(world, world.toDestination, 'abort');
        break;
      case 'finish-qemu':
        if (world.sourceQemu.migration === 'sent') qemuCompletes(world);
        break;
      case 'let-qemu-go':
        qemuLosesConnection(world);
        break;
      case 'say-left-behind':
      case 'say-in-doubt':
      case 'refuse-signal':
        break;
    }
  }
  if (state.is === 'over' && !wasOver) sourceEnds(world);
}

/** Its process ends: both of its connections close. */
function sourceEnds(world: World): void {
  qemuLosesConnection(world);
  send(world, world.toDestination, 'closed');
}

function destinationTakes(world: World, event: DestinationEvent<Parts>): void {
  if (world.destination === 'dead') return;
  const { state, actions } = stepDestination(world.destination, event);
  const wasOver = world.destination.is === 'over';
  world.destination = state;
  for (const action of actions) {
    switch (action.do) {
      case 'release':
        world.undelivered = true;
        break;
      case 'say-moved':
        send(world, world.toSource, 'moved');
        break;
      case 'say-started':
        send(world, world.toSource, 'started');
        break;
      case 'abort':
        send(world, world.toSource, 'target-failed');
        break;
      case 'abort-in-doubt':
        send(world, world.toSource, 'in-doubt');
        break;
      case 'drop-target':
        targetLosesConnection(world);
        break;
      case 'go-on-alone':
      case 'say-incomplete':
      case 'say-in-doubt':
      case 'refuse-signal':
        break;
    }
  }
  if (state.is === 'over' && !wasOver) destinationEnds(world);
}

function destinationEnds(world: World): void {
  targetLosesConnection(world);
  send(world, world.toSource, 'closed');
}

/** It tells the source what it vouches for, and hears and says nothing more; `back` messages to the source arrive, at most. */
function destinationTimesOut(world: World, back: number): void {
  if (world.destination === 'dead') return;
  const vouched = targetNeverRuns(world.destination, world.undelivered);
  send(world, world.toSource, vouched ? 'target-failed' : 'in-doubt');
  world.link = 'broken';
  world.toDestination.splice(0);
  world.toSource.splice(back, Infinity, 'closed');
  destinationTakes(world, { type: 'link-closed', why, vouched, needsNoSource: world.onStorage });
}

function askToConfirm(world: World): void {
  if (world.confirm !== 'not-asked') return;
  world.confirm = 'asked';
  send(world, world.toDestination, 'confirm');
}

function send<T>(world: World, queue: T[], message: T): void {
  if (world.link === 'up') queue.push(message);
}

function qemuCompletes({ sourceQemu }: World): void {
  sourceQemu.migration = 'completed';
  sourceQemu.closeUnseen = true;
}

/** QEMU that has not heard the target's word takes a closed connection for a failed migration, and its VM runs on. */
function qemuLosesConnection({ sourceQemu, early }: World): void {
  if (['sending', 'packaged', 'sent'].includes(sourceQemu.migration)) {
    sourceQemu.migration = 'failed';
    // What the manager has stopped stays so.
    if (!early) sourceQemu.vm = 'running';
  }
}

function targetLosesConnection(world: World): void {
  const { target } = world;
  world.undelivered = false;
  target.connected = false;
  if (target.is === 'loading' && !hasDevices(target)) target.is = 'failed';
}

/** Whether it has all device state, and can start. */
function hasDevices({ has }: World['target']): boolean {
  return has === 'all' || has === 'package';
}

/** One thing that may happen now. */
interface Move {
  readonly name: string;
  readonly fault: boolean;
  readonly play: (world: World) => void;
}

function moves(world: World): Move[] {
  const all: Move[] = [];
  const can = (when: boolean, name: string, play: (world: World) => void, fault = false): void => {
    if (when) all.push({ name, fault, play });
  };
  const { source, destination, sourceQemu, target } = world;
  const sourceLives = source !== 'dead' && source.is !== 'over';
  const destinationLives = destination !== 'dead' && destination.is !== 'over' && !world.destinationHangs;

  can(sourceQemu.migration === 'setup' && sourceLives, 'QEMU connects', (w) => {
    w.sourceQemu.migration = 'sending';
    sourceTakes(w, { type: 'qemu-connected' });
    if (w.returnPath) sourceTakes(w, { type: 'return-path' });
    send(w, w.toDestination, 'begins');
  });
  can(sourceQemu.migration === 'sending' && sourceQemu.vm === 'running', 'QEMU stops its VM', (w) => {
    w.sourceQemu.vm = 'stopped';
  });
  can(
    !world.early && sourceQemu.migration === 'sending' && sourceQemu.vm === 'stopped' && sourceLives,
    'QEMU has sent everything',
    (w) => {
      w.sourceQemu.migration = 'sent';
      w.sourceQemu.endUnseen = true;
      if (!w.returnPath) qemuCompletes(w);
    },
  );
  can(
    world.early && sourceQemu.migration === 'sending' && sourceQemu.vm === 'stopped' && sourceLives,
    'QEMU has sent its package',
    (w) => {
      sourceTakes(w, { type: 'let-go' });
      w.sourceQemu.migration = 'packaged';
      w.sourceQemu.endUnseen = true;
    },
  );
  can(
    sourceQemu.migration === 'packaged' && !sourceQemu.endUnseen && sourceLives,
    'QEMU has sent its own pages',
    (w) => {
      w.sourceQemu.migration = 'sent';
      w.sourceQemu.endUnseen = true;
    },
  );
  can(
    world.early && target.is === 'loaded' && sourceQemu.migration === 'sent',
    'libvirt ends the source QEMU, since the target has everything',
    (w) => {
      w.sourceQemu = { ...w.sourceQemu, migration: 'dead', closeUnseen: true };
    },
  );
  can(
    sourceLives &&
      world.confirm === 'not-asked' &&
      sourceQemu.migration === 'sending' &&
      sourceQemu.vm === 'stopped',
    'the source sees the end of RAM',
    askToConfirm,
  );
  can(
    sourceQemu.endUnseen && sourceLives,
    'the source sees the end of the stream, or of the package',
    (w) => {
      w.sourceQemu.endUnseen = false;
      if (!w.early) {
        if (w.forgedEnd === 'open') {
          send(w, w.toDestination, 'rest');
          sourceTakes(w, { type: 'stream-goes-on' });
        }
        askToConfirm(w);
        sourceTakes(w, { type: 'stream-complete' });
      } else if (w.cutPackage !== 'no') {
        sourceTakes(w, { type: 'package-cut', why });
      } else if (w.sourceQemu.migration === 'packaged') {
        askToConfirm(w);
        send(w, w.toDestination, 'package');
        sourceTakes(w, { type: 'package-complete' });
      } else {
        // It is held until nothing is missing any more.
        sourceTakes(w, { type: 'stream-complete' });
        send(w, w.toDestination, 'end');
      }
    },
  );
  can(sourceQemu.closeUnseen && !sourceQemu.endUnseen && sourceLives, 'the source sees QEMU close', (w) => {
    w.sourceQemu.closeUnseen = false;
    sourceTakes(w, { type: 'qemu-closed', why });
  });
  can(world.toDestination.length > 0 && !world.destinationHangs, 'a message reaches the destination', (w) => {
    const message = w.toDestination.shift();
    if (message === 'begins') {
      if (w.target.is === 'loading') w.target.has = 'memory';
      destinationTakes(w, { type: 'stream-begins', parts: null });
    } else if (message === 'confirm') {
      if (w.destination === 'dead' || w.destination.is === 'over') return;
      w.confirm = 'answered';
      send(w, w.toSource, 'confirmed');
    } else if (message === 'rest') {
      w.forgedEnd = 'passed';
      const released = w.destination !== 'dead' && !['preparing', 'moving'].includes(w.destination.is);
      if (released && w.target.connected && w.target.is === 'loading' && !w.undelivered) w.target.has = 'all';
    } else if (message === 'package') destinationTakes(w, { type: 'package-begins' });
    else if (message === 'end') {
      if (w.target.connected && ['loading', 'moved'].includes(w.target.is)) w.endDelivered = true;
    } else if (message === 'commit') destinationTakes(w, { type: 'commit' });
    else if (message === 'abort')
      destinationTakes(w, {
        type: 'source-aborted',
        why,
        undelivered: w.undelivered,
        needsNoSource: w.onStorage,
      });
    else destinationTakes(w, { type: 'link-closed', why, vouched: false, needsNoSource: w.onStorage });
  });
  can(
    destination !== 'dead' &&
      destination.is === 'draining' &&
      destination.link === 'down' &&
      !world.endDelivered,
    'the destination has read the rest from storage, and ends the stream',
    (w) => {
      w.endDelivered = true;
    },
  );
  can(world.toSource.length > 0, 'a message reaches the source', (w) => {
    const message = w.toSource.shift();
    if (message === 'confirmed') sourceTakes(w, { type: 'confirmed' });
    else if (message === 'moved') sourceTakes(w, { type: 'moved' });
    else if (message === 'started') sourceTakes(w, { type: 'started' });
    else if (message === 'target-failed') sourceTakes(w, { type: 'target-failed', why });
    else sourceTakes(w, { type: 'link-broken', why });
  });
  can(world.undelivered && destinationLives, 'the kernel takes the rest of the stream', (w) => {
    w.undelivered = false;
    if (w.cutPackage !== 'no') w.cutPackage = 'there';
    else if (w.target.is === 'loading' && w.forgedEnd !== 'open') w.target.has = w.early ? 'package' : 'all';
  });
  can(
    target.is === 'loading' && world.cutPackage === 'there',
    'the target does not load a package that was cut',
    (w) => {
      w.target.is = 'failed';
      w.target.wordUnseen = true;
    },
  );
  can(target.is === 'loading' && target.has === 'package', 'the target loads the package', (w) => {
    w.target.is = w.lacksDevice ? 'failed' : 'moved';
    if (!w.lacksDevice) w.target.vm = 'paused';
    w.target.wordUnseen = true;
  });
  can(
    target.is === 'moved' && target.connected && target.has === 'package' && world.endDelivered,
    'the last page and the end reach the target',
    (w) => {
      w.target.has = 'all';
    },
  );
  can(
    target.is === 'moved' && target.has === 'all' && !target.wordUnseen,
    'the target has every page',
    (w) => {
      w.target.is = 'loaded';
      w.target.wordUnseen = true;
    },
  );
  can(target.is === 'loading' && target.has === 'all', 'the target reads everything', (w) => {
    w.target.is = w.lacksDevice ? 'failed' : 'loaded';
    if (!w.lacksDevice) w.target.vm = w.autoStart ? 'running' : 'paused';
    w.target.wordUnseen = true;
  });
  can(
    target.wordUnseen && target.connected && destinationLives,
    'the destination hears of the target',
    (w) => {
      w.target.wordUnseen = false;
      // Without a return path it looks whether the process still lives.
      if (w.target.is === 'loaded') destinationTakes(w, { type: 'target-started' });
      else if (w.target.is === 'moved') destinationTakes(w, { type: 'target-moved' });
      else if (w.target.is === 'failed') destinationTakes(w, { type: 'target-failed', why });
      else if (hasDevices(w.target)) destinationTakes(w, { type: 'target-silent-end', why });
      else destinationTakes(w, { type: 'target-failed', why });
    },
  );
  can(
    !world.autoStart &&
      (world.early ? world.saidMoved : sourceQemu.migration === 'completed' && target.is === 'loaded') &&
      target.vm === 'paused',
    'the manager continues the target',
    (w) => {
      w.target.vm = 'running';
    },
  );
  can(
    world.early &&
      sourceQemu.migration === 'failed' &&
      sourceQemu.vm === 'stopped' &&
      source !== 'dead' &&
      source.is === 'over' &&
      (source.end.at === 'source' || source.end.at === 'source-cancelled'),
    'the manager continues the source',
    (w) => {
      w.sourceQemu.vm = 'running';
    },
  );

  can(
    world.destinationHangs && world.link === 'up',
    'the source has heard nothing of the destination for too long',
    (w) => {
      w.link = 'broken';
      w.toSource.splice(0);
      sourceTakes(w, { type: 'link-broken', why });
    },
  );

  // Faults.
  can(
    destinationLives,
    'the destination engine hangs',
    (w) => {
      w.destinationHangs = true;
    },
    true,
  );
  can(
    !world.early &&
      world.forgedEnd === 'no' &&
      sourceLives &&
      sourceQemu.migration === 'sending' &&
      sourceQemu.vm === 'stopped',
    'a device holds what looks like the end of the stream',
    (w) => {
      w.forgedEnd = 'open';
      askToConfirm(w);
      sourceTakes(w, { type: 'stream-complete' });
    },
    true,
  );
  can(
    world.early && sourceLives && sourceQemu.migration === 'sending' && sourceQemu.vm === 'stopped',
    'QEMU ends as pre-copy, and a device holds what looks like the end of its stream',
    (w) => {
      sourceTakes(w, { type: 'let-go' });
      w.cutPackage = 'sent';
      w.sourceQemu.migration = 'sent';
      w.sourceQemu.endUnseen = true;
      askToConfirm(w);
      send(w, w.toDestination, 'package');
      sourceTakes(w, { type: 'package-complete' });
    },
    true,
  );
  for (let there = 0; there <= world.toDestination.length; there++) {
    for (let back = 0; back <= world.toSource.length; back++) {
      can(
        world.link === 'up',
        `the link breaks, ${there} and ${back} messages still arrive`,
        (w) => {
          w.link = 'broken';
          w.toDestination.splice(there, Infinity, 'closed');
          w.toSource.splice(back, Infinity, 'closed');
        },
        true,
      );
    }
  }
  for (let back = 0; back <= world.toSource.length + 1; back++) {
    can(
      world.link === 'up' && destinationLives,
      `the destination hears nothing for too long, ${back} messages with its abort still arrive`,
      (w) => {
        destinationTimesOut(w, back);
      },
      true,
    );
  }
  can(
    sourceLives,
    'kill -9 of the source engine',
    (w) => {
      if (isCommitted(w)) w.beyondEngines = true;
      w.source = 'dead';
      sourceEnds(w);
    },
    true,
  );
  can(
    destinationLives,
    'kill -9 of the destination engine',
    (w) => {
      w.destination = 'dead';
      destinationEnds(w);
    },
    true,
  );
  can(
    sourceQemu.migration !== 'dead',
    'kill -9 of the source QEMU',
    (w) => {
      w.sourceQemu = { ...w.sourceQemu, vm: 'stopped', migration: 'dead', closeUnseen: true };
    },
    true,
  );
  can(
    // Post-copy cannot be cancelled, and its manager does not try.
    !world.early && (sourceQemu.migration === 'sending' || sourceQemu.migration === 'sent'),
    'migrate_cancel',
    (w) => {
      // Its last byte may be on its way to the engine, and the close behind it.
      if (isCommitted(w) || w.sourceQemu.migration === 'sent') w.beyondEngines = true;
      w.sourceQemu = { ...w.sourceQemu, vm: 'running', migration: 'failed', closeUnseen: true };
    },
    true,
  );
  can(
    target.is === 'loading' || target.is === 'moved' || target.is === 'loaded',
    'kill -9 of the target',
    (w) => {
      w.target = { ...w.target, is: 'dead', vm: 'absent', wordUnseen: true };
    },
    true,
  );
  can(
    sourceLives,
    'SIGTERM to the source engine',
    (w) => {
      sourceTakes(w, { type: 'interrupted' });
    },
    true,
  );
  can(
    destinationLives,
    'SIGTERM to the destination engine',
    (w) => {
      destinationTakes(w, { type: 'interrupted' });
    },
    true,
  );
  can(
    sourceLives && source.is !== 'preparing',
    'a limit of the source is over',
    (w) => {
      sourceTakes(w, { type: 'limit', why });
    },
    true,
  );
  can(
    destinationLives && destination.is !== 'preparing',
    'a limit of the destination is over',
    (w) => {
      destinationTakes(w, { type: 'limit', why, undelivered: w.undelivered });
    },
    true,
  );
  can(
    sourceLives,
    'an error of the source engine',
    (w) => {
      sourceTakes(w, { type: 'failed', why });
    },
    true,
  );
  can(
    destinationLives,
    'an error of the destination engine',
    (w) => {
      destinationTakes(w, { type: 'failed', why, undelivered: w.undelivered });
    },
    true,
  );
  return all;
}

function isCommitted({ source }: World): boolean {
  return source !== 'dead' && ['committing', 'switching', 'closing', 'in-doubt'].includes(source.is);
}

/** What must hold in every state; undefined if it does. */
function violation(world: World): string | undefined {
  const { source, destination, sourceQemu, target } = world;
  const excused = world.autoStart && world.beyondEngines;
  if (sourceQemu.vm === 'running' && target.vm === 'running' && !excused) return 'two VMs run';
  const canStillRun =
    target.is === 'loaded' ||
    target.is === 'moved' ||
    (target.is === 'loading' && hasDevices(target)) ||
    world.undelivered;
  const hasDoubt =
    isCommitted(world) || (source !== 'dead' && source.is === 'over' && source.end.at === 'in-doubt');
  if (hasDoubt && world.confirm !== 'answered')
    return 'the source commits before the destination has confirmed';
  if (source !== 'dead' && source.is === 'over') {
    const { end } = source;
    if (end.at === 'destination' && target.is !== 'loaded' && target.is !== 'dead')
      return 'the source says "at the destination", and the target has no VM';
    if ((end.at === 'source' || end.at === 'source-cancelled') && canStillRun)
      return 'the source says "at the source", and the target can run';
    if (end.at === 'destination-incomplete' && !['moved', 'loaded', 'dead'].includes(target.is))
      return 'the source says "at the destination", and the target has no VM';
    const vm = end.at === 'source' || end.at === 'source-cancelled' ? end.vm : undefined;
    if (vm === 'runs-on' && sourceQemu.migration === 'completed')
      return 'the source says that its VM runs on, and QEMU has completed';
  }
  if (destination !== 'dead' && destination.is === 'over') {
    const { end } = destination;
    if (end.at === 'destination' && target.is !== 'loaded' && target.is !== 'dead')
      return 'the destination says "at the destination", and the target has no VM';
    if (end.at === 'destination-incomplete' && !['moved', 'loaded', 'dead'].includes(target.is))
      return 'the destination says "at the destination", and the target has no VM';
    if ((end.at === 'source' || end.at === 'source-cancelled') && canStillRun)
      return 'the destination says "at the source", and the target can run';
  }
  return undefined;
}

const kinds = [
  ...[true, false].flatMap((returnPath) =>
    [true, false].flatMap((autoStart) =>
      [true, false].map((lacksDevice) => ({
        ...{ returnPath, autoStart, lacksDevice, early: false, onStorage: false },
      })),
    ),
  ),
  ...[true, false].map((lacksDevice) => ({
    ...{ returnPath: true, autoStart: false, lacksDevice, early: true, onStorage: false },
  })),
  { returnPath: true, autoStart: false, lacksDevice: false, early: true, onStorage: true },
];

interface Visited {
  readonly world: World;
  readonly path: readonly string[];
}

/** All states that are reached with at most so many faults. @throws Error with the way to a violation */
function explore(kind: (typeof kinds)[number], maxFaults: number): { states: number; ends: Set<string> } {
  const seen = new Set<string>();
  const ends = new Set<string>();
  const waiting: Visited[] = [{ world: begin(kind), path: [] }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { world, path } = next;
    const possible = moves(world).filter(({ fault }) => !fault || world.faults < maxFaults);
    if (!possible.some(({ fault }) => !fault)) ends.add(describeEnd(world));
    for (const { name, fault, play } of possible) {
      const after = structuredClone(world);
      if (fault) after.faults += 1;
      play(after);
      const key = JSON.stringify(after);
      if (seen.has(key)) continue;
      seen.add(key);
      const wrong = violation(after);
      if (wrong !== undefined) throw new Error(`${wrong}: ${[...path, name].join(' > ')}`);
      waiting.push({ world: after, path: [...path, name] });
    }
  }
  return { states: seen.size, ends };
}

function describeEnd({ source, destination, sourceQemu, target }: World): string {
  const at = (state: SourceState | State | 'dead'): string =>
    state === 'dead' ? 'dead' : state.is === 'over' ? state.end.at : state.is;
  return `${at(source)} / ${at(destination)} / ${sourceQemu.vm} / ${target.vm}`;
}

for (const kind of kinds) {
  const name = Object.entries(kind)
    .map(([key, value]) => `${key} ${value ? 'yes' : 'no'}`)
    .join(', ');
  test(`without faults there is one end: ${name}`, (t) => {
    const { ends } = explore(kind, 0);
    t.deepEqual(
      [...ends],
      kind.lacksDevice
        ? [`source / source / ${kind.returnPath ? 'running' : 'stopped'} / absent`]
        : ['destination / destination / stopped / running'],
    );
  });

  test(`never two VMs, and every end is true, with any two faults at any moment: ${name}`, (t) => {
    const { states, ends } = explore(kind, 2);
    t.log(`${states} states, ${ends.size} ends`);
    t.true(states > 1000);
  });

  test(`random walks with up to six faults: ${name}`, (t) => {
    const random = new Random(kinds.indexOf(kind) + 1);
    for (let walk = 0; walk < 1000; walk++) {
      const world = begin(kind);
      const path: string[] = [];
      for (;;) {
        const possible = moves(world).filter(
          ({ fault }) => !fault || (world.faults < 6 && random.below(100) < 15),
        );
        const move = possible[random.below(possible.length)];
        if (move === undefined) break;
        if (move.fault) world.faults += 1;
        path.push(move.name);
        move.play(world);
        const wrong = violation(world);
        if (wrong !== undefined) t.fail(`${wrong}: ${path.join(' > ')}`);
      }
    }
    t.pass();
  });
}

test('a VM whose missing pages are on storage gets them, whatever becomes of the source once it has moved', (t) => {
  const random = new Random(1);
  const kind = { returnPath: true, autoStart: false, lacksDevice: false, early: true, onStorage: true };
  let alone = 0;
  for (let walk = 0; walk < 1000; walk++) {
    const world = begin(kind);
    const path: string[] = [];
    for (;;) {
      const { destination } = world;
      const moved = destination !== 'dead' && destination.is === 'draining';
      const possible = moves(world).filter(
        ({ fault, name }) =>
          !fault ||
          (moved &&
            world.faults === 0 &&
            random.below(3) === 0 &&
            /^(the link|kill -9 of the source)/.test(name)),
      );
      const move = possible[random.below(possible.length)];
      if (move === undefined) break;
      if (move.fault) world.faults += 1;
      path.push(move.name);
      move.play(world);
    }
    if (path.some((name) => name.startsWith('the destination has read the rest'))) alone += 1;
    t.is(world.target.is, 'loaded', path.join(' > '));
    t.is(world.sourceQemu.vm, 'stopped');
  }
  t.true(alone > 20, `${alone}`);
});

test('a destination that speaks of its target before QEMU has come ends the migration: there is nothing to be in doubt of', (t) => {
  for (const type of ['moved', 'started'] as const)
    for (const before of [sourceStart, { is: 'preparing' } as const]) {
      const { state, actions } = stepSource(before, { type });
      t.like(state, { is: 'over', end: { at: 'source', vm: 'runs-on' } });
      t.deepEqual(
        actions.map((action) => action.do),
        ['abort'],
      );
    }
});
