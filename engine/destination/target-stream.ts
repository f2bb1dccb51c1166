/** The target's incoming stream: what the source engine sends, and pages restored from storage between its records. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { checkVm } from '../stream/configuration.ts';
import { StreamInjector } from '../stream/injector.ts';
import { refuseUnvouched } from '../stream/obstacles.ts';
import { streamCommand } from '../stream/records.ts';
import type { TargetOutput } from './target-output.ts';

/**
 * Where device state begins cannot be told in a stream that is passed through; the target needs its end of file byte and the
 * description behind it, which is far shorter than this, to start.
 */
const passThroughTailBytes = 1024 * 1024;

export class TargetStream {
  readonly injector: StreamInjector;
  readonly #plan: RestorePlan;
  #machine = '';
  #returnPath = false;
  /** The beginning of the stream, until it is known whether it is of the right VM: nothing of another one reaches the target. */
  #beginning: Buffer[] | undefined = [];

  /**
   * A record of a page in the stream supersedes the plan's.
   *
   * @param vm name or uuid that the engine was told
   */
  constructor(plan: RestorePlan, output: TargetOutput, vm: string | undefined, onEvent: EventSink) {
    this.#plan = plan;
    this.injector = new StreamInjector(
      {
        configuration: (configuration) => {
          checkVm(vm, configuration);
          this.#machine = configuration.machine;
          this.#release(output);
        },
        ramBlocks: (blocks) => {
          const pages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
          onEvent({
            event: 'qemu-connected',
            machine: this.#machine,
            ram_blocks: blocks.length,
            ram_pages: pages,
          });
        },
        page: (blockIndex, page) => {
          plan.supersede(blockIndex, page);
          return true;
        },
        zeroPage: (blockIndex, page) => {
          plan.supersede(blockIndex, page);
          return true;
        },
        command: (command) => {
          if (command === streamCommand.openReturnPath) this.#returnPath = true;
        },
        deviceState: () => {
          output.hold();
          onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          refuseUnvouched(code, reason);
          this.#release(output);
          output.hold(passThroughTailBytes);
          onEvent({ event: 'stream-unfilterable', code, reason });
        },
      },
      (buffer, start, end) => {
        if (this.#beginning === undefined) output.add(buffer, start, end);
        else this.#beginning.push(Buffer.from(buffer.subarray(start, end)));
      },
      { holdAtEnd: true },
    );
  }

  #release(output: TargetOutput): void {
    for (const bytes of this.#beginning ?? []) output.add(bytes, 0, bytes.length);
    this.#beginning = undefined;
  }

  /** The source's QEMU waits for the target's word on it. */
  get hasReturnPath(): boolean {
    return this.#returnPath;
  }

  /**
   * Takes bytes of the source's stream.
   *
   * @throws CodedError 'destination', 'incomplete' if RAM ends with pages pending
   * @throws CodedError 'stream', 'another-vm', before any of it has reached the target
   */
  push(bytes: Buffer): void {
    if (this.injector.push(bytes)) return;
    // The source releases the end of RAM only when nothing is pending. If it were otherwise, memory would be incomplete.
    if (this.#plan.pendingPages > 0) {
      throw new CodedError(
        'destination',
        'incomplete',
        `RAM ends with ${this.#plan.pendingPages} pages pending`,
      );
    }
    this.injector.release();
  }
}
