/** What a source engine is started with. */
import type { EngineOptions, Interrupts } from '../core/engine-options.ts';
import type { GuestRamSource } from '../core/outside.ts';
import type { LeavesOut, Strategy } from '../core/schedule.ts';
import type { PageListAnswer } from '../list/agent-client.ts';
import type { RamBlock } from '../stream/handler.ts';
import type { Liveness } from '../wire/hello.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';

export interface SourceOptions extends EngineOptions {
  /** Unix socket to which QEMU is told to migrate. */
  readonly listenPath: string;
  readonly destination: { readonly host: string; readonly port: number };
  /** How the destination engine is known. */
  readonly security: PeerSecurity;
  readonly strategy: Strategy;
  /** Share of the list, 0 to 1, that is to be at the destination before the VM moves there (strategy 'resume'). */
  readonly shareBeforeSwitch?: number;
  /**
   * Who says that the VM stands and may move, once it could (strategy 'resume'). Without it, it moves then: where QEMU has stopped the VM
   * itself, it lets it run on when this process dies, beside the target's.
   */
  readonly moveSignal?: Interrupts;
  /**
   * Keeps what a recovery needs; called before the VM may move (strategy 'resume').
   *
   * @throws CodedError if it cannot be kept: then the VM does not move
   */
  readonly keepForRecovery?: (left: MovedFrom) => void;
  /** Strategy 'balance'. Default: while the link is scarce. */
  readonly leavesOut?: LeavesOut;
  /** 'auto': zstd while the link is scarce. */
  readonly compression: 'none' | 'zstd' | 'auto';
  /** Guest memory, which is closed at the end; without it nothing is restored from storage. */
  readonly ram?: GuestRamSource;
  /** Asks for the page list; without it nothing is restored from storage. */
  readonly requestList?: (signal: AbortSignal) => Promise<PageListAnswer>;
  /**
   * When to ask: as soon as QEMU sends and the list is of use, or before QEMU can connect, so that storage is read from the first
   * moment with a list that is a little older. Default 'migrate'.
   */
  readonly listAt?: 'start' | 'migrate';
  readonly liveness?: Liveness;
}

/** How the stream names what a moved VM leaves behind. */
export interface MovedFrom {
  readonly ramSectionId: number;
  readonly blocks: readonly RamBlock[];
}
