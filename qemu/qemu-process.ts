/** Small QEMU machines for captures, tests and the soak, each a child of this process with its monitor on its pipes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import type { QemuInstallation } from './installation.ts';
import { type CommandArguments, QmpClient } from './qmp/client.ts';
import type { Answer, MigrationCapability, MigrationInfo, QmpCommand, QmpEvent } from './qmp/messages.ts';

/** A busy machine is slow to start one. */
const greetingMs = 60_000;
const pollMs = 20;

export class Qemu {
  readonly events: QmpEvent[] = [];
  readonly #process: ChildProcess;
  #client: QmpClient | undefined;
  #errors = '';
  /** Settles when the process has ended. */
  readonly ended: Promise<void>;

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.stderr?.on('data', (text: Buffer) => (this.#errors += text.toString()));
    this.ended = new Promise((resolve) => {
      process.once('close', () => {
        resolve();
      });
      process.once('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
    });
  }

  /** @throws CodedError 'qmp' with QEMU's own message if it does not start */
  static async start(installation: QemuInstallation, args: readonly string[]): Promise<Qemu> {
    const { command, leadingArguments, environment } = installation;
    const child = spawn(
      command,
      [...leadingArguments, '-display', 'none', '-nodefaults', '-qmp', 'stdio', ...args],
      { env: { ...process.env, ...environment }, stdio: 'pipe' },
    );
    const qemu = new Qemu(child);
    try {
      qemu.#client = await QmpClient.negotiate(child.stdout, child.stdin, {
        timeoutMs: greetingMs,
        outOfBand: true,
        onEvent: (event) => qemu.events.push(event),
      });
    } catch (error) {
      await qemu.stop();
      throw new CodedError('qmp', 'connect-failed', `QEMU does not start: ${qemu.#errors.trim()}`, {
        cause: error,
      });
    }
    return qemu;
  }

  /** Id of the process. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** What it has written to its standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** Runs a QMP command and returns its answer. @throws CodedError 'qmp' as the client does, with what QEMU wrote on its way out */
  async execute<Name extends QmpCommand>(
    command: Name,
    ...rest: CommandArguments<Name>
  ): Promise<Answer<Name>> {
    if (this.#client === undefined)
      throw new CodedError('qmp', 'connection-lost', `${command}: QEMU does not run`);
    try {
      return await this.#client.execute(command, ...rest);
    } catch (error) {
      if (!isCoded(error, 'qmp') || this.#errors === '') throw error;
      throw new CodedError('qmp', error.code, `${error.message} ${this.#errors.trim()}`, { cause: error });
    }
  }

  async setCapabilities(names: readonly MigrationCapability[]): Promise<void> {
    const capabilities = names.map((capability) => ({ capability, state: true }));
    await this.execute('migrate-set-capabilities', { capabilities });
  }

  /** Waits for an answer of `query-migrate` for which `isDone` holds. @throws Error when the migration has failed */
  async waitForMigration(
    isDone: (info: MigrationInfo) => boolean,
    timeoutMs = 30_000,
  ): Promise<MigrationInfo> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const info = await this.execute('query-migrate');
      if (isDone(info)) return info;
      if (info.status === 'failed' || performance.now() > deadlineMs)
        throw new Error(`migration: ${JSON.stringify(info)} ${this.#errors}`);
      await sleep(pollMs);
    }
  }

  /** Kills it and waits for its end. Idempotent. */
  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }
}
