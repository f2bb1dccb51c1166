/** The connection to the target QEMU, which waits on a unix socket for its incoming migration. */
import { connect, type Socket } from 'node:net';
import { returnPathMessage } from '../stream/records.ts';
import { ReturnPathReader } from '../stream/return-path.ts';
import { DestinationError } from './destination-error.ts';
import { TargetOutput } from './target-output.ts';

export interface TargetHandler {
  /** Bytes of the return path. */
  returnPath(bytes: Buffer): void;
  /** The target takes more. */
  room(): void;
  /** The target has closed its end. */
  ended(): void;
  failed(error: unknown): void;
}

export class TargetConnection {
  readonly output: TargetOutput;
  readonly #socket: Socket;
  readonly #handler: TargetHandler;
  /** The target has reported success on the return path (migration/migration.c, migrate_send_rp_shut). */
  #succeeded = false;

  /** What is written before the connection stands waits for it. */
  constructor(path: string, handler: TargetHandler) {
    const socket = connect({ path, allowHalfOpen: true });
    this.#socket = socket;
    this.#handler = handler;
    this.output = new TargetOutput(socket);
    const returnPath = new ReturnPathReader(({ type, data }) => {
      if (type === returnPathMessage.shut) this.#succeeded = data.length >= 4 && data.readUInt32BE() === 0;
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        returnPath.push(bytes);
      } catch (error) {
        handler.failed(error);
        return;
      }
      handler.returnPath(Buffer.from(bytes));
    });
    socket.on('drain', () => {
      handler.room();
    });
    socket.on('end', () => {
      handler.ended();
    });
    socket.on('error', (cause) => {
      this.#broke(cause);
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** A target that has said that it has everything may close as it likes. */
  #broke(cause: Error): void {
    if (this.#succeeded) this.#handler.ended();
    else {
      const reason = `the target QEMU broke off: ${cause.message}`;
      this.#handler.failed(new DestinationError('target-failed', reason, cause));
    }
  }
}
