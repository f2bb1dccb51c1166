/** The probes' way to the server, by either protocol. */
import { connect } from 'node:net';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { PostgresqlSession } from '../../guest/agent/postgresql/sql-session.ts';
import { type DatabaseServer, postgresqlDatabase } from '../workload/database-server.ts';

/** An answer that takes longer is given up with its connection: a dead VM sends nothing, not even a reset. */
const answerTimeoutMs = 10_000;
const connectTimeoutMs = 2000;

type OnState = (state: 'connected' | 'lost', detail: string) => void;

type Row = Readonly<Record<string, unknown>>;

interface Connection {
  query(sql: string): Promise<readonly Row[]>;
  onFailure(listener: (error: unknown) => void): void;
  /** At once, without a goodbye. */
  close(): void;
}

async function connectMysql({ host, port, user, password }: DatabaseServer): Promise<Connection> {
  const connection = await createConnection({ host, port, user, password, connectTimeout: connectTimeoutMs });
  return {
    query: async (sql) => (await connection.query<RowDataPacket[]>({ sql, timeout: answerTimeoutMs }))[0],
    onFailure: (listener) => {
      connection.on('error', listener);
    },
    close: () => {
      connection.destroy();
    },
  };
}

async function connectPostgresql({ host, port, user }: DatabaseServer): Promise<Connection> {
  const socket = connect({ host, port, noDelay: true });
  const giveUp = setTimeout(() => socket.destroy(new Error('connect ETIMEDOUT')), connectTimeoutMs);
  socket.once('connect', () => {
    clearTimeout(giveUp);
  });
  try {
    return await PostgresqlSession.open(socket, { user, database: postgresqlDatabase, answerTimeoutMs });
  } finally {
    clearTimeout(giveUp);
  }
}

const connectTo = { mysql: connectMysql, postgresql: connectPostgresql };

interface Session {
  readonly connection: Connection;
  /** Rejects a query under way: the driver leaves it unanswered when the connection is destroyed. */
  readonly broken: Promise<never>;
  readonly breakOff: (reason: Error) => void;
}

/** One connection that is made when it is needed and dropped on any error, so that the next query makes a new one. */
export class SqlSession {
  readonly #server: DatabaseServer;
  readonly #onState: OnState;
  #session: Session | undefined;
  /** Why the last attempt to connect failed; said once and not at every attempt. */
  #connectFailure: string | undefined;

  constructor(server: DatabaseServer, onState: OnState) {
    this.#server = server;
    this.#onState = onState;
  }

  /**
   * Makes the connection, if there is none.
   * @throws the driver's error
   */
  async connect(): Promise<void> {
    this.#session ??= await this.#open();
  }

  /** @throws the driver's error, after the connection was dropped */
  async query(sql: string): Promise<readonly Row[]> {
    const session = (this.#session ??= await this.#open());
    try {
      return await Promise.race([session.connection.query(sql), session.broken]);
    } catch (error) {
      this.#drop(session, error);
      throw error;
    }
  }

  /** Drops the connection at once, without a goodbye: the server may not answer any more. A query under way fails. */
  close(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.connection.close();
    session?.breakOff(new Error('closed'));
  }

  async #open(): Promise<Session> {
    const { protocol, host, port, user } = this.#server;
    const connection = await connectTo[protocol](this.#server).catch((error: unknown) => {
      const reason = messageOf(error);
      if (reason !== this.#connectFailure) this.#onState('lost', reason);
      this.#connectFailure = reason;
      throw error;
    });
    this.#connectFailure = undefined;
    let breakOff: Session['breakOff'] = () => undefined;
    const broken = new Promise<never>((_, reject) => (breakOff = reject));
    broken.catch(() => undefined); // it may break while no query is under way
    const session = { connection, broken, breakOff };
    connection.onFailure((error) => {
      this.#drop(session, error);
    });
    this.#onState('connected', `${user}@${host}:${port}`);
    return session;
  }

  #drop(session: Session, error: unknown): void {
    if (this.#session !== session) return;
    this.close();
    this.#onState('lost', messageOf(error));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
