/** Small QEMU machines for captures and for the codec's test with a real QEMU at both ends. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** How to start one version of QEMU. */
export interface QemuInstallation {
  readonly command: string;
  /** Arguments that come first: firmware folders, or what a foreign C library's loader needs. */
  readonly leadingArguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** A QEMU in an unpacked Debian tree, run with the tree's own C library, so that no chroot is needed. */
export function qemuInTree(tree: string): QemuInstallation {
  const libraries = path.join(tree, 'usr/lib/x86_64-linux-gnu');
  // Debian 12 and older have /lib beside /usr/lib in their packages.
  const merged = [libraries, path.join(tree, 'lib/x86_64-linux-gnu')];
  const loader = ['usr/lib64', 'lib64']
    .map((dir) => path.join(tree, dir, 'ld-linux-x86-64.so.2'))
    .find(existsSync);
  if (loader === undefined) throw new Error(`${tree} holds no C library`);
  return {
    command: loader,
    leadingArguments: [
      '--library-path',
      merged.join(':'),
      path.join(tree, 'usr/bin/qemu-system-x86_64'),
      ...['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].flatMap((dir) => [
        '-L',
        path.join(tree, dir),
      ]),
    ],
    environment: { QEMU_MODULE_DIR: path.join(libraries, 'qemu') },
  };
}

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** Of QEMU's clock, which is the machine's. */
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

/** A running QEMU with its monitor on standard input and output. */
export class Qemu {
  readonly events: QmpEvent[] = [];
  readonly #process: ChildProcess;
  readonly #answers: ((message: Record<string, unknown>) => void)[] = [];
  #errors = '';
  /** Settles when the process has ended. */
  readonly ended: Promise<void>;

  private constructor(installation: QemuInstallation, args: readonly string[]) {
    this.#process = spawn(
      installation.command,
      [...installation.leadingArguments, '-display', 'none', '-nodefaults', '-qmp', 'stdio', ...args],
      { env: { ...process.env, ...installation.environment }, stdio: 'pipe' },
    );
    this.#process.stderr?.on('data', (text: Buffer) => (this.#errors += text.toString()));
    // Writing to a QEMU that has died must not end this process; the command's answer reports it.
    this.#process.stdin?.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.#process.once('close', () => {
        for (const answer of this.#answers.splice(0))
          answer({ error: { desc: `QEMU ended: ${this.#errors}` } });
        resolve();
      });
      this.#process.once('error', (error) => {
        this.#errors += error.message;
        resolve();
      });
    });
    if (this.#process.stdout === null) throw new Error('QEMU has no standard output');
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#take(JSON.parse(line) as Record<string, unknown>);
    });
  }

  /** @throws Error with QEMU's own message if it does not start */
  static async start(installation: QemuInstallation, args: readonly string[]): Promise<Qemu> {
    const qemu = new Qemu(installation, args);
    await qemu.execute('qmp_capabilities');
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

  /** Runs a QMP command and returns its result. @throws Error with QEMU's own message */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const answer = await new Promise<Record<string, unknown>>((resolve) => {
      const { exitCode, signalCode } = this.#process;
      if (exitCode !== null || signalCode !== null)
        resolve({ error: { desc: `QEMU ended: ${this.#errors}` } });
      this.#answers.push(resolve);
      this.#process.stdin?.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
    if ('error' in answer) throw new Error(`${command}: ${JSON.stringify(answer['error'])} ${this.#errors}`);
    return answer['return'];
  }

  async setCapabilities(names: readonly string[]): Promise<void> {
    const capabilities = names.map((capability) => ({ capability, state: true }));
    await this.execute('migrate-set-capabilities', { capabilities });
  }

  /** Waits for an answer of `query-migrate` for which `isDone` holds. @throws Error when the migration has failed */
  async waitForMigration(
    isDone: (info: MigrationInfo) => boolean,
    timeoutMs = 30_000,
  ): Promise<MigrationInfo> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const info = (await this.execute('query-migrate')) as MigrationInfo;
      if (isDone(info)) return info;
      if (info.status === 'failed' || Date.now() > deadline) {
        throw new Error(`migration: ${JSON.stringify(info)} ${this.#errors}`);
      }
      await sleep(20);
    }
  }

  /** Kills it and waits for its end. Idempotent. */
  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  #take(message: Record<string, unknown>): void {
    if ('event' in message) this.events.push(message as unknown as QmpEvent);
    else if (!('QMP' in message)) this.#answers.shift()?.(message);
  }
}

/** Members of QMP's MigrationInfo that are looked at here. */
export interface MigrationInfo {
  readonly status?: string;
  readonly ram?: { readonly 'dirty-sync-count': number; readonly transferred: number };
}

/**
 * Writes a boot disk whose program counts in the first word of 96 pages from 64 KiB on, for ever, so that memory keeps
 * changing. Sixteen-bit x86.
 */
export function writeBootDisk(file: string): void {
  const program = [
    [0x31, 0xc0], // xor ax, ax
    [0xbb, 0x00, 0x10], // round: mov bx, 0x1000
    [0x8e, 0xc3], // page: mov es, bx
    [0x26, 0xa3, 0x00, 0x00], // mov es:[0], ax
    [0x81, 0xc3, 0x00, 0x01], // add bx, 0x100
    [0x81, 0xfb, 0x00, 0x70], // cmp bx, 0x7000
    [0x72, 0xf0], // jb page
    [0x40], // inc ax
    [0xeb, 0xea], // jmp round
  ].flat();
  const disk = Buffer.alloc(1 << 20);
  Buffer.from(program).copy(disk);
  disk.writeUInt16LE(0xaa55, 510);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, disk);
}
