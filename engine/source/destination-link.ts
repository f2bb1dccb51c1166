/**
 * The connection to the destination engine: the greeting, frames in the order of the stream, and how much may be under way
 * at a time.
 */
import { EngineConnection, readBytes } from '../wire/connection.ts';
import { connectTo } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, ownHello, takeHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { SendWindow } from '../wire/send-window.ts';
import { WireError } from '../wire/wire-error.ts';
import type { SourceOptions } from './source-options.ts';
import { StreamBatch } from './stream-batch.ts';

const compressionLevel = 1;

export interface DestinationLinkHandler {
  /** Whether more would be sent if there were room. */
  readonly wantsRoom: boolean;
  greeted(compression: SourceOptions['compression']): void;
  /** A frame after the greeting; the payload is valid only during the call. */
  frame(type: FrameType, payload: Buffer): void;
  /** There is more room. */
  scheduleAdvance(): void;
  /** The connection has ended, whoever ended it. */
  fail(error: Error): void;
}

export class DestinationLink {
  readonly connection: EngineConnection;
  /** What goes into QEMU's stream, until it is flushed. */
  readonly batch: StreamBatch;
  readonly #window: SendWindow;

  /** @param switchOverBarred whether QEMU cannot switch over yet, until `switchOverMayCome` */
  constructor(
    options: Pick<SourceOptions, 'destination' | 'vm' | 'compression' | 'liveness'>,
    switchOverBarred: boolean,
    handler: DestinationLinkHandler,
  ) {
    const { destination, vm, liveness = defaultLiveness } = options;
    const own = ownHello('source', vm, liveness);
    let greeted = false;
    const window = new SendWindow(switchOverBarred);
    const { host, port } = destination;
    const connection = new EngineConnection((onChunk) => connectTo(host, port, readBytes, onChunk), {
      ...liveness,
      onFrame: (type, payload) => {
        if (greeted) {
          handler.frame(type, payload);
          return;
        }
        if (type !== 'hello') throw new WireError('malformed', `the destination begins with "${type}"`);
        const readsZstd = takeHello(own, payload, liveness.timeoutMs).compression.includes('zstd');
        const compression = options.compression === 'zstd' && readsZstd ? 'zstd' : 'none';
        if (compression === 'zstd') connection.enableCompression(compressionLevel);
        greeted = true;
        handler.greeted(compression);
      },
      runsDry: (unacknowledgedBytes) => window.runsDry(unacknowledgedBytes),
      onRoom: () => {
        const { acknowledgedBytes, outstandingBytes } = connection;
        window.acknowledged(acknowledgedBytes, performance.now(), outstandingBytes, handler.wantsRoom);
        handler.scheduleAdvance();
      },
      onClosed: (error) => {
        handler.fail(error ?? new WireError('closed', 'the destination ended the connection'));
      },
    });
    this.connection = connection;
    this.batch = new StreamBatch(connection);
    this.#window = window;
    connection.send('hello', encodeMessage(own));
  }

  /** Share of the send window that is free; below 0 there is too much under way. */
  get room(): number {
    const waitingBytes = this.batch.waitingBytes / this.connection.compressionRatio;
    return 1 - (this.connection.outstandingBytes + waitingBytes) / this.#window.limitBytes;
  }

  /** From now on little may be under way. */
  switchOverMayCome(): void {
    this.#window.switchOverMayCome();
  }

  /** Sends a frame that keeps its place behind what was added to the stream before. */
  sendInOrder(type: FrameType, payload: Buffer = Buffer.alloc(0), compressible = false): void {
    this.batch.flush();
    this.connection.send(type, payload, compressible);
  }
}
