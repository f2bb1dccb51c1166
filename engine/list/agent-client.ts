/** The host's end of the guest agent's port: a unix socket that QEMU listens on (`-chardev socket,server=on`). */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import type { ErrorCodes } from '../../foundation/error-codes.ts';
import {
  type AgentRequest,
  type AgentStatus,
  AnswerReader,
  type AnswerHeader,
  formatRequest,
  type ListRequest,
} from './agent-protocol.ts';
import { decodePageListInSlices, type DecodeLimits, type PackedPageList } from './page-list-codec.ts';

interface AgentRequestOptions {
  /** How long to wait for the agent's first sign of life. Default 10 000. */
  readonly firstAnswerTimeoutMs?: number;
  /** How long to wait for the whole answer. Default: 50 000 more than for the first sign. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** A connection to the socket that was opened before, and is closed with the answer. */
  readonly opened?: Socket;
}

/** By default nothing is cleaned, and the list is in storage order. */
interface PageListOptions extends AgentRequestOptions, DecodeLimits, Partial<ListRequest> {
  /** Longest list to take, in bytes. Default 256 MiB, enough for a pool of 700 GiB or more. */
  readonly maxListBytes?: number;
}

export interface PageListAnswer {
  readonly list: PackedPageList;
  /** Bytes of the list as sent. */
  readonly listBytes: number;
  readonly timings: {
    /** Writing dirty pages first, in the guest. */
    readonly cleanMs: number;
    /** The agent's whole work, in the guest. */
    readonly agentMs: number;
    /** From the answer's first line to its last byte, through the port. */
    readonly sendMs: number;
    readonly decodeMs: number;
    /** From connecting to having the decoded list. */
    readonly totalMs: number;
  };
}

/**
 * Asks the agent for the page list.
 * @throws CodedError 'agent', or CodedError 'page-list' when what the agent sent is no valid list.
 */
export async function requestPageList(
  socketPath: string,
  options: PageListOptions = {},
): Promise<PageListAnswer> {
  const startMs = performance.now();
  const { clean = 'none', hotFirst = false } = options;
  const request = { id: newId(), request: 'list', clean, hotFirst } as const;
  const answer = await ask(socketPath, request, options, options.maxListBytes ?? 256 * 1024 * 1024);
  if (answer.header.status !== 'list') throw unexpected(answer.header);
  const decodeStartMs = performance.now();
  const list = await decodePageListInSlices(answer.listBytes, options);
  const endMs = performance.now();
  return {
    list,
    listBytes: answer.listBytes.length,
    timings: {
      cleanMs: answer.header.cleanMs,
      agentMs: answer.header.totalMs,
      sendMs: answer.sendMs,
      decodeMs: endMs - decodeStartMs,
      totalMs: endMs - startMs,
    },
  };
}

/** Asks the agent how it is. @throws CodedError 'agent' */
export async function requestStatus(
  socketPath: string,
  options: AgentRequestOptions = {},
): Promise<AgentStatus> {
  const { header } = await ask(socketPath, { id: newId(), request: 'status' }, options, 0);
  if (header.status !== 'agent') throw unexpected(header);
  return header.agent;
}

function newId(): string {
  return randomBytes(8).toString('hex');
}

function unexpected(header: AnswerHeader): CodedError<'agent'> {
  return new CodedError(
    'agent',
    'invalid-answer',
    `the guest agent answered "${header.status}" to another question`,
  );
}

interface Answer {
  readonly header: AnswerHeader;
  readonly listBytes: Buffer;
  readonly sendMs: number;
}

function ask(
  socketPath: string,
  request: AgentRequest,
  options: AgentRequestOptions,
  maxListBytes: number,
): Promise<Answer> {
  const firstAnswerTimeoutMs = options.firstAnswerTimeoutMs ?? 10_000;
  const timeoutMs = options.timeoutMs ?? firstAnswerTimeoutMs + 50_000;
  const { signal } = options;
  return new Promise<Answer>((resolve, reject) => {
    const reader = new AnswerReader(request.id, maxListBytes);
    let header: AnswerHeader | undefined;
    let headerAtMs = 0;
    const socket = options.opened ?? connect(socketPath);

    const finish = (settle: () => void): void => {
      clearTimeout(firstTimer);
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      socket.destroy();
      settle();
    };
    const fail = (code: ErrorCodes['agent'], message: string, cause?: unknown): void => {
      finish(() => {
        reject(new CodedError('agent', code, message, { cause }));
      });
    };
    const abort = (): void => {
      fail('aborted', 'the request to the guest agent was cancelled', signal?.reason);
    };
    const firstTimer = setTimeout(() => {
      if (header !== undefined) return;
      const means =
        'either it does not run in the guest, or another client holds the socket (QEMU serves one at a time)';
      fail(
        'no-agent',
        `no guest agent answered on ${socketPath} within ${firstAnswerTimeoutMs} ms: ${means}`,
      );
    }, firstAnswerTimeoutMs);
    const timer = setTimeout(() => {
      const missing = reader.missingListBytes;
      const state = missing === undefined ? 'it is still working' : `${missing} bytes are missing`;
      fail('timeout', `the guest agent's answer is not complete after ${timeoutMs} ms: ${state}`);
    }, timeoutMs);

    if (socket.readyState === 'open') socket.write(formatRequest(request));
    else socket.on('connect', () => socket.write(formatRequest(request)));
    socket.on('error', (cause) => {
      const code = socket.connecting || header === undefined ? 'no-socket' : 'closed';
      fail(code, `cannot use the guest agent's socket ${socketPath}: ${cause.message}`, cause);
    });
    socket.on('close', () => {
      fail('closed', `QEMU closed ${socketPath} before the guest agent's answer was complete`);
    });
    socket.on('data', (chunk: Buffer) => {
      for (const event of reader.push(chunk)) {
        if (event.kind === 'invalid') {
          fail('invalid-answer', `the guest agent's answer cannot be used: ${event.reason}`);
          return;
        }
        if (event.kind === 'header') {
          header = event.header;
          headerAtMs = performance.now();
          if (header.status === 'error') fail('refused', `the guest agent cannot: ${header.message}`);
          else if (header.status === 'agent') succeed(header, Buffer.alloc(0));
          continue;
        }
        if (header !== undefined) succeed(header, event.bytes);
      }
    });
    const succeed = (last: AnswerHeader, listBytes: Buffer): void => {
      const sendMs = performance.now() - headerAtMs;
      finish(() => {
        resolve({ header: last, listBytes, sendMs });
      });
    };

    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
