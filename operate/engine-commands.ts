/** The command lines of the two engines of one migration. Pure. */
import { endpoint } from '../foundation/endpoint.ts';
import { makeKey } from '../engine/wire/pre-shared-key.ts';
import type { EngineRole } from './course.ts';
import { quote } from '../foundation/shell.ts';
import { keyPlace } from './launch.ts';

export interface EnginePlan {
  readonly id: string;
  /** Program on both hosts. */
  readonly engine: string;
  readonly strategy: 'balance' | 'restore' | 'resume';
  /** Percent of the list that is at the destination before the VM moves there (`resume`); default: the engine's own. */
  readonly beforeSwitchPercent?: number;
  /** Where the source's QEMU connects, and where the target waits. */
  readonly outgoingSocket: string;
  readonly incomingSocket: string;
  /** The destination, as the source reaches it. */
  readonly address: string;
  /** The name that its certificate has, where there is one. */
  readonly tlsHostname?: string;
  readonly port: number;
  readonly agentSocket: string;
  /** Of the source's QEMU. */
  readonly pid: number;
  /** A file with what QEMU says of its memory, where that has several blocks. */
  readonly memoryMap?: string;
  /** As `--storage` takes them. */
  readonly storage: readonly string[];
  /** Whom the engines become; undefined where QEMU is root. */
  readonly user?: string;
  /** Certificates in place of a key. */
  readonly tlsDir?: string;
}

/** What a migration is given of its engines: their command lines, and a key of its own where there are no certificates. */
export function enginesOf(plan: EnginePlan | undefined): {
  readonly engines?: Readonly<Record<EngineRole, string>>;
  readonly key?: string;
} {
  if (plan === undefined) return {};
  return {
    engines: { source: sourceCommand(plan), destination: destinationCommand(plan) },
    ...(plan.tlsDir === undefined ? { key: makeKey() } : {}),
  };
}

/** The slowest that comes before QEMU's first byte: a target that makes all of its memory when it starts. */
const startLimitSeconds = 600;

function common({ id, user, tlsDir }: EnginePlan): readonly string[] {
  return [
    '--json',
    ...['--start-limit', String(startLimitSeconds)],
    ...['--vm', id],
    ...(tlsDir === undefined ? ['--psk-file', keyPlace] : ['--tls-dir', tlsDir]),
    ...(user === undefined ? [] : ['--user', user]),
  ];
}

const line = (engine: string, words: readonly string[]): string => [engine, ...words].map(quote).join(' ');

export function sourceCommand(plan: EnginePlan): string {
  const { engine, strategy, outgoingSocket, address, port, agentSocket, pid, memoryMap, tlsHostname } = plan;
  const { beforeSwitchPercent } = plan;
  return line(engine, [
    'source',
    ...['--listen', `unix:${outgoingSocket}`, '--connect', endpoint(address, port)],
    ...['--agent', agentSocket, '--ram', `pid:${pid}`, '--strategy', strategy],
    // QEMU is told to begin when this engine listens: a first pass without a list would send what storage has. In early resume what
    // is listed has to be on storage, or sent by QEMU once more: it keeps track of what is written since it began.
    ...['--list-at', strategy === 'resume' ? 'migrate' : 'start'],
    ...(beforeSwitchPercent === undefined ? [] : ['--before-switch', String(beforeSwitchPercent)]),
    ...(memoryMap === undefined ? [] : ['--memory-map', memoryMap]),
    ...(tlsHostname === undefined ? [] : ['--tls-hostname', tlsHostname]),
    ...common(plan),
  ]);
}

export function destinationCommand(plan: EnginePlan): string {
  const { engine, incomingSocket, address, port, storage } = plan;
  return line(engine, [
    'destination',
    ...['--listen', endpoint(address, port), '--incoming', `unix:${incomingSocket}`],
    ...storage.flatMap((place) => ['--storage', place]),
    ...common(plan),
  ]);
}
