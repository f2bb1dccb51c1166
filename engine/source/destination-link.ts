/**
 * The connection to the destination engine: the greeting, frames in the order of the stream, and how much may be under way
 * at a time.
 */
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { SocketOpener } from '../wire/fast-socket.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, ownHello, takeHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { connectToPeer, explainBreak, protectionOf } from '../wire/peer-security.ts';
import { SendWindow } from '../wire/send-window.ts';
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

  /** @param switchoverBarred whether QEMU cannot switch over yet, until `allowSwitchover` */
  constructor(
    options: Pick<SourceOptions, 'destination' | 'security' | 'vm' | 'compression' | 'liveness' | 'onEvent'>,
    switchoverBarred: boolean,
    handler: DestinationLinkHandler,
  ) {
    const { destination, security, vm, liveness = defaultLiveness } = options;
    if (security.by === 'nothing') options.onEvent({ event: 'insecure-plaintext' });
    const own = ownHello('source', vm, liveness);
    let phase: 'connecting' | 'greeting' | 'greeted' = 'connecting';
    const window = new SendWindow(switchoverBarred);
    const open: SocketOpener = (onChunk, buffer) =>
      connectToPeer(security, destination, buffer, onChunk, () => {
        phase = 'greeting';
        connection.send('hello', encodeMessage(own));
      });
    const connection = new EngineConnection(open, {
      ...liveness,
      protection: protectionOf(security),
      explain: (cause) => explainBreak(cause, security),
      onFrame: (type, payload) => {
        switch (phase) {
          case 'greeted':
            handler.frame(type, payload);
            return;
          case 'connecting':
            throw new CodedError('wire', 'not-authenticated', 'the destination speaks before it is known');
          case 'greeting': {
            const other = takeHello(own, vm, payload, liveness.timeoutMs);
            const readsZstd = other.compression.includes('zstd');
            const compression = options.compression === 'zstd' && readsZstd ? 'zstd' : 'none';
            if (compression === 'zstd') connection.enableCompression(compressionLevel);
            phase = 'greeted';
            connection.greeted();
            handler.greeted(compression);
          }
        }
      },
      runsDry: (unacknowledgedBytes) => window.runsDry(unacknowledgedBytes),
      onRoom: () => {
        const { acknowledgedBytes, outstandingBytes } = connection;
        window.acknowledged(acknowledgedBytes, performance.now(), outstandingBytes, handler.wantsRoom);
        handler.scheduleAdvance();
      },
      onClosed: (error) => {
        const reason = error ?? new CodedError('wire', 'closed', 'the destination ended the connection');
        handler.fail(phase === 'greeted' ? reason : withoutGreeting(reason));
      },
    });
    this.connection = connection;
    this.batch = new StreamBatch(connection);
    this.#window = window;
  }

  /** Share of the send window that is free; below 0 there is too much under way. */
  get room(): number {
    const waitingBytes = this.batch.waitingBytes / this.connection.compressionRatio;
    return 1 - (this.connection.outstandingBytes + waitingBytes) / this.#window.limitBytes;
  }

  /** From now on little may be under way. */
  allowSwitchover(): void {
    this.#window.allowSwitchover();
  }

  /** Sends a frame that keeps its place behind what was added to the stream before. */
  sendInOrder(type: FrameType, payload: Buffer = Buffer.alloc(0), compressible = false): void {
    this.batch.flush();
    this.connection.send(type, payload, compressible);
  }
}

/** A destination that takes this engine for a stranger tells it nothing. */
function withoutGreeting(error: Error): Error {
  if (!isCoded(error, 'wire') || error.code !== 'closed') return error;
  const hint =
    'before it greeted; if it has another key or certificate, or only one engine has one, it says so there';
  return new CodedError('wire', 'closed', `${error.message}, ${hint}`, { cause: error });
}
