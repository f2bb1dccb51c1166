/** The connection to the target QEMU, which waits on a unix socket for its incoming migration. */
import { connect, type Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import { isAlive, type ProcessIdentity } from '../../foundation/process-identity.ts';
import { packageLoadedPing } from '../stream/postcopy-ending.ts';
import { returnPathMessage } from '../stream/records.ts';
import {
  encodeReturnPathMessage,
  type PageRequest,
  PageRequestReader,
  ReturnPathReader,
} from '../stream/return-path.ts';
import { TargetOutput } from './target-output.ts';
import { findListener } from './target-process.ts';

interface TargetHandler {
  /** Bytes of the return path, for the source's QEMU. */
  returnPath(bytes: Buffer): void;
  /** The answer to a PING. Returns whether it was this engine's: then it is not for the source's QEMU. */
  pong(value: number): boolean;
  /** Its VM waits for pages. */
  request(request: PageRequest): void;
  /** It has loaded the package of a stream that becomes post-copy. */
  moved(): void;
  /** The target takes more. */
  room(): void;
  /** It has everything: it has said so, or, without a return path, has closed its connection and lives. */
  started(): void;
  /** It has said that it failed, or has closed its connection before it had read everything. */
  failed(error: CodedError<'destination'>): void;
  /** It has closed its connection without a word, and may have had everything. */
  endedSilently(error: CodedError<'destination'>): void;
  /** Its return path cannot be read. */
  malformed(error: unknown): void;
}

/** A process that exits closes its connection before it is gone. */
const lastBreathMs = 500;

export class TargetConnection {
  readonly output: TargetOutput;
  readonly #socket: Socket;
  readonly #handler: TargetHandler;
  readonly #hasReturnPath: () => boolean;
  /** The target's; undefined where it cannot be seen from here. */
  readonly process: ProcessIdentity | undefined;
  /** What the target has reported on the return path; 0 is success (migration/migration.c, migrate_send_rp_shut). */
  #word: number | undefined;
  #isClosed = false;
  /** Not all that was written was taken from the connection. */
  #broke = false;
  #ended = false;
  readonly #path: string;
  #second: Socket | undefined;

  /** What is written before the connection stands waits for it. */
  constructor(path: string, hasReturnPath: () => boolean, handler: TargetHandler) {
    this.#path = path;
    this.process = findListener(path);
    const socket = connect({ path, allowHalfOpen: true });
    this.#socket = socket;
    this.#handler = handler;
    this.#hasReturnPath = hasReturnPath;
    this.output = new TargetOutput(socket);
    const forQemu: Buffer[] = [];
    const relay = (): void => {
      if (forQemu.length > 0) handler.returnPath(Buffer.concat(forQemu.splice(0)));
    };
    const requests = new PageRequestReader();
    let loaded = false;
    const returnPath = new ReturnPathReader(({ type, data }) => {
      const value = data.length >= 4 ? data.readUInt32BE() : undefined;
      if (type === returnPathMessage.pong && value !== undefined) {
        if (handler.pong(value)) return;
        if (value === packageLoadedPing) loaded = true;
      }
      const request = requests.read({ type, data });
      if (request !== undefined) {
        handler.request(request);
        return;
      }
      forQemu.push(encodeReturnPathMessage({ type, data }));
      if (type !== returnPathMessage.shut || value === undefined) return;
      // First, so that what the target said before its last word reaches QEMU before that does.
      relay();
      this.#takeWord(value);
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        returnPath.push(bytes);
      } catch (error) {
        handler.malformed(error);
      }
      relay();
      if (loaded) handler.moved();
      loaded = false;
    });
    socket.on('drain', () => {
      handler.room();
    });
    socket.on('end', () => {
      this.#closed('the target QEMU closed its connection');
    });
    socket.on('error', (cause) => {
      // The kernel says so where bytes were not taken, or lay unread in a connection that was closed.
      this.#broke = true;
      this.#closed(`the target QEMU broke off: ${cause.message}`, cause);
    });
  }

  /** Breaks the connection off; nothing is reported any more. */
  destroy(): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#second?.destroy();
  }

  /**
   * A target with the capability postcopy-preempt waits for a second connection before it runs; others listen no more. Nothing is
   * sent on it: pages that are waited for come in the stream (migration/postcopy-ram.c, postcopy_preempt_new_channel).
   */
  openSecond(): void {
    this.#second = connect({ path: this.#path });
    this.#second.on('error', () => undefined);
    this.#second.resume();
  }

  #takeWord(status: number): void {
    if (this.#word !== undefined || this.#ended) return;
    this.#word = status;
    if (status === 0) this.#handler.started();
    else this.#fails(`the target QEMU reports error ${status}; its own messages say why`);
  }

  /** It is closed, and what the target has said last may have been lost with it. */
  #closed(reason: string, cause?: Error): void {
    if (this.#word !== undefined || this.#ended || this.#isClosed) return;
    this.#isClosed = true;
    // Without device state it cannot start.
    if (!this.output.isReleased || this.output.undelivered) this.#fails(reason, cause);
    else this.#judge(reason, cause, performance.now() + lastBreathMs);
  }

  /** Whether the target lives says what became of it. */
  #judge(reason: string, cause: Error | undefined, untilMs: number): void {
    if (this.#ended) return;
    const { process } = this;
    const lives = process !== undefined && isAlive(process);
    if (lives && performance.now() < untilMs) {
      setTimeout(() => {
        this.#judge(reason, cause, untilMs);
      }, 50);
      return;
    }
    if (process === undefined) {
      this.#endsSilently(`${reason}; its process cannot be seen from here`, cause);
    } else if (!lives) {
      const ended = `${reason}; its process ${process.pid} has ended`;
      if (!this.#broke) this.#endsSilently(`${ended} when it had everything`, cause);
      // What it has not read may be pages that follow a package, and its VM may have run.
      else if (this.output.isBeyondStart) this.#endsSilently(`${ended} when it may have had the VM`, cause);
      else this.#fails(ended, cause);
    } else if (!this.#broke && !this.#hasReturnPath()) this.#handler.started();
    else this.#endsSilently(`${reason} without saying whether it has everything`, cause);
  }

  #fails(reason: string, cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handler.failed(new CodedError('destination', 'target-failed', reason, { cause }));
  }

  #endsSilently(reason: string, cause?: Error): void {
    this.#ended = true;
    this.#handler.endedSilently(new CodedError('destination', 'target-silent', reason, { cause }));
  }
}
