/**
 * A session with a server over its unix socket, as MySQL's protocol has it (https://mariadb.com/kb/en/clientserver-protocol/).
 * The agent brings it along because it runs no client: one that lies in the server's root is anybody's, and any client sends
 * files to a server that asks for them (LOAD DATA LOCAL), which this one does not know how to.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { GuestError } from '../guest-error.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** CLIENT_LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH: no LOCAL_FILES, no compression. */
const capabilities = 0x1 | 0x200 | 0x8000 | 0x80000;
const utf8mb4 = 45;
const comQuery = 3;
/** More than any answer that the agent asks for. */
const maxAnswerBytes = 64 * 1024;

/** One session; statements one after the other. */
export class SqlSession {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #receivedBytes = 0;
  #failure: GuestError | undefined;
  #wake: () => void = () => undefined;
  #sequence = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
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

  /**
   * Logs in over a socket that is connected, or about to be.
   * @param timeoutMs for the whole session @throws GuestError 'clean-failed', and then the socket is closed
   */
  static async open(socket: Socket, credentials: Credentials, timeoutMs: number): Promise<SqlSession> {
    const session = new SqlSession(socket);
    const timer = setTimeout(() => {
      session.#fail(`it did not answer within ${timeoutMs} ms`);
    }, timeoutMs);
    session.#socket.once('close', () => {
      clearTimeout(timer);
    });
    try {
      await session.#logIn(credentials);
    } catch (error) {
      session.close();
      throw error;
    }
    return session;
  }

  /** Runs one statement; the columns of its rows. @throws GuestError 'clean-failed' */
  async query(statement: string): Promise<readonly (readonly string[])[]> {
    this.#sequence = 0;
    this.#receivedBytes = this.#bytes.length;
    this.#send(Buffer.concat([Buffer.from([comQuery]), Buffer.from(statement)]));
    const first = await this.#packet();
    if (first[0] === 0) return [];
    // 0xfb asks for a file.
    const columns = first[0] ?? 0;
    if (columns > 100 || first.length !== 1) throw this.#refused(first);
    for (let column = 0; column < columns; column++) await this.#packet();
    await this.#packet();
    const rows: string[][] = [];
    for (;;) {
      const row = await this.#packet();
      if (row[0] === 0xfe && row.length < 9) return rows;
      if (row[0] === 0xff) throw this.#refused(row);
      rows.push(readTexts(row));
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #logIn({ user, password }: Credentials): Promise<void> {
    const greeting = await this.#packet();
    const versionEnd = greeting.indexOf(0, 1);
    if (greeting[0] !== 10 || versionEnd < 0 || greeting.length < versionEnd + 44)
      throw new GuestError('clean-failed', 'what listens there does not speak the MySQL protocol');
    const at = versionEnd + 5;
    const salt = Buffer.concat([greeting.subarray(at, at + 8), greeting.subarray(at + 27, at + 39)]);
    const plugin = textUntilZero(greeting, at + 40) || 'mysql_native_password';
    const head = Buffer.alloc(32);
    head.writeUInt32LE(capabilities, 0);
    head.writeUInt32LE(maxAnswerBytes, 4);
    head.writeUInt8(utf8mb4, 8);
    const proof = prove(plugin, password, salt);
    this.#send(Buffer.concat([head, zeroEnded(user), Buffer.from([proof.length]), proof, zeroEnded(plugin)]));
    for (let turn = 0; turn < 5; turn++) {
      const packet = await this.#packet();
      if (packet[0] === 0) return;
      if (packet[0] === 0xfe) {
        const name = textUntilZero(packet, 1);
        const fresh = packet.subarray(2 + name.length, 2 + name.length + 20);
        this.#send(prove(name, password, fresh));
      } else if (packet[0] === 1 && packet[1] === 4) {
        // caching_sha2_password asks for the password itself, as on every connection that nobody can listen to.
        this.#send(zeroEnded(password));
      } else if (packet[0] !== 1) {
        throw this.#refused(packet);
      }
    }
    throw new GuestError('clean-failed', 'the server does not finish the log-in');
  }

  #refused(packet: Buffer): GuestError {
    const reason = packet[0] === 0xff ? packet.toString('utf8', 3, 300) : 'an answer that is not understood';
    return new GuestError('clean-failed', `the server refuses: ${reason}`);
  }

  #send(payload: Buffer): void {
    const header = Buffer.alloc(4);
    header.writeUIntLE(payload.length, 0, 3);
    header.writeUInt8(this.#sequence & 0xff, 3);
    this.#sequence += 1;
    this.#socket.write(Buffer.concat([header, payload]));
  }

  async #packet(): Promise<Buffer> {
    for (;;) {
      if (this.#bytes.length >= 4) {
        const end = 4 + this.#bytes.readUIntLE(0, 3);
        if (end > maxAnswerBytes) this.#fail('it sends too much');
        else if (this.#bytes.length >= end) {
          const packet = this.#bytes.subarray(4, end);
          this.#sequence = (this.#bytes[3] ?? 0) + 1;
          this.#bytes = this.#bytes.subarray(end);
          return packet;
        }
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #fail(reason: string): void {
    this.#failure ??= new GuestError('clean-failed', `the server's socket cannot be used: ${reason}`);
    this.#socket.destroy();
    this.#wake();
  }
}

/** What a log-in says of the password; nothing where there is none, or where the kernel says who asks (unix_socket). */
function prove(plugin: string, password: string, salt: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  if (plugin === 'mysql_native_password') {
    const once = hash('sha1', Buffer.from(password));
    return xor(once, hash('sha1', Buffer.concat([salt, hash('sha1', once)])));
  }
  if (plugin === 'caching_sha2_password') {
    const once = hash('sha256', Buffer.from(password));
    return xor(once, hash('sha256', Buffer.concat([hash('sha256', once), salt])));
  }
  return Buffer.alloc(0);
}

function hash(algorithm: 'sha1' | 'sha256', bytes: Buffer): Buffer {
  return createHash(algorithm).update(bytes).digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)));
}

function zeroEnded(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

function textUntilZero(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString('latin1', start, end < 0 ? bytes.length : end);
}

/** Length-encoded strings below 251 bytes, which is what the agent asks for. */
function readTexts(row: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < row.length;) {
    const length = row[at] ?? 0;
    if (length > 250) return texts;
    texts.push(row.toString('utf8', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return texts;
}
