/**
 * A session with a PostgreSQL server, by version 3 of its protocol (https://www.postgresql.org/docs/17/protocol.html): simple
 * queries, and log-ins that need no password. The agent brings it along because it runs no client: one that lies in the
 * server's root is anybody's. The harness's probes use it too.
 */
import type { Socket } from 'node:net';

interface SessionOptions {
  readonly user: string;
  readonly database: string;
  /** For the log-in, and for each answer. */
  readonly answerTimeoutMs: number;
}

/** By column; null is SQL's. */
type Row = Readonly<Record<string, string | null>>;

const protocolVersion = 3 << 16;
/** More than any answer that is asked for, with all its rows. */
const maxAnswerBytes = 64 * 1024;

/** One session; statements one after the other. Each error is of the whole session but those that the server says of a statement. */
export class PostgresqlSession {
  readonly #socket: Socket;
  readonly #answerTimeoutMs: number;
  #bytes: Buffer = Buffer.alloc(0);
  /** Since the last statement. */
  #receivedBytes = 0;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  #onFailure: (error: Error) => void = () => undefined;

  private constructor(socket: Socket, answerTimeoutMs: number) {
    this.#socket = socket;
    this.#answerTimeoutMs = answerTimeoutMs;
    socket.on('data', (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      if (this.#receivedBytes > maxAnswerBytes) this.#fail('it sends too much');
      else this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on('error', (error) => {
      this.#fail(error.message);
    });
    socket.on('close', () => {
      this.#fail('it closed the connection');
    });
  }

  /** Logs in over a socket that is connected, or about to be. @throws Error, and then the socket is closed */
  static async open(
    socket: Socket,
    { user, database, answerTimeoutMs }: SessionOptions,
  ): Promise<PostgresqlSession> {
    const session = new PostgresqlSession(socket, answerTimeoutMs);
    try {
      await session.#inTime(() => session.#logIn(user, database));
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Called once, with why the session ended; not after close(). */
  onFailure(listener: (error: Error) => void): void {
    this.#onFailure = listener;
  }

  /** Runs statements; the rows of all. @throws Error with the server's message, or with why the session ended */
  query(statements: string): Promise<readonly Row[]> {
    return this.#inTime(async () => {
      this.#receivedBytes = this.#bytes.length;
      this.#send('Q', Buffer.from(`${statements}\0`));
      let columns: readonly string[] = [];
      const rows: Row[] = [];
      let refusal: Error | undefined;
      for (;;) {
        const { type, body } = await this.#message();
        if (type === 'T') columns = columnNames(body);
        else if (type === 'D') rows.push(rowOf(columns, body));
        else if (type === 'E') refusal = new Error(errorText(body));
        else if (type === 'Z') break;
        // A copy would have to be answered.
        else if (type === 'G' || type === 'W') throw this.#fail('it asks for data');
      }
      if (refusal !== undefined) throw refusal;
      return rows;
    });
  }

  /** Without a goodbye: the server may not answer any more. */
  close(): void {
    this.#onFailure = () => undefined;
    this.#fail('closed');
  }

  async #logIn(user: string, database: string): Promise<void> {
    const parameters = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
    const head = Buffer.alloc(8);
    head.writeInt32BE(head.length + parameters.length, 0);
    head.writeInt32BE(protocolVersion, 4);
    this.#socket.write(Buffer.concat([head, parameters]));
    for (;;) {
      const { type, body } = await this.#message();
      if (type === 'Z') return;
      if (type === 'E') throw new Error(errorText(body));
      if (type === 'R' && (body.length < 4 || body.readInt32BE(0) !== 0))
        throw new Error(`the server asks for a password of ${user}`);
    }
  }

  #send(type: string, body: Buffer): void {
    const head = Buffer.alloc(5);
    head.write(type, 0, 'latin1');
    head.writeInt32BE(4 + body.length, 1);
    this.#socket.write(Buffer.concat([head, body]));
  }

  async #message(): Promise<{ readonly type: string; readonly body: Buffer }> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#bytes.length >= 5) {
        const end = 1 + this.#bytes.readUInt32BE(1);
        if (end < 5 || end > maxAnswerBytes) throw this.#fail('it does not speak the PostgreSQL protocol');
        if (this.#bytes.length >= end) {
          const type = this.#bytes.toString('latin1', 0, 1);
          const body = this.#bytes.subarray(5, end);
          this.#bytes = this.#bytes.subarray(end);
          return { type, body };
        }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async #inTime<Result>(action: () => Promise<Result>): Promise<Result> {
    const timer = setTimeout(() => {
      this.#fail(`it did not answer within ${this.#answerTimeoutMs} ms`);
    }, this.#answerTimeoutMs);
    try {
      return await action();
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(reason: string): Error {
    if (this.#failure === undefined) {
      this.#failure = new Error(`the server cannot be used: ${reason}`);
      this.#socket.destroy();
      this.#onFailure(this.#failure);
    }
    this.#wake();
    return this.#failure;
  }
}

/** RowDescription: after the number of columns, of each its name and 18 bytes. */
function columnNames(body: Buffer): string[] {
  const names: string[] = [];
  for (let at = 2; at < body.length;) {
    const end = body.indexOf(0, at);
    if (end < 0) break;
    names.push(body.toString('utf8', at, end));
    at = end + 19;
  }
  return names;
}

/** DataRow: after the number of columns, of each its length, -1 for null, and its text. */
function rowOf(columns: readonly string[], body: Buffer): Row {
  const row: Record<string, string | null> = {};
  let at = 2;
  for (const name of columns) {
    const length = at + 4 <= body.length ? body.readInt32BE(at) : -1;
    at += 4;
    row[name] = length < 0 ? null : body.toString('utf8', at, at + length);
    at += Math.max(0, length);
  }
  return row;
}

/** ErrorResponse: texts that each begin with a letter; M is the message, C the SQLSTATE. */
function errorText(body: Buffer): string {
  const fields = body.toString('utf8').split('\0');
  const field = (letter: string): string | undefined =>
    fields.find((text) => text.startsWith(letter))?.slice(1);
  return `${field('M') ?? 'an error without a message'} (${field('C') ?? 'no SQLSTATE'})`.slice(0, 1000);
}
