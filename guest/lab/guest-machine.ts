/** A guest of the lab's image under QEMU, with its agent, for tests: no network but a forwarded SQL port. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, constants, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { requestStatus } from '../../engine/list/agent-client.ts';
import { agentPortName } from '../../engine/list/agent-protocol.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import type { Log } from '../../scripts/cache.ts';
import { bundleAgent } from '../image/agent-bundle.ts';
import { makeInitrd } from '../image/initrd.ts';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import { prepareGuestImage } from '../image/prepare-guest-image.ts';

interface GuestMachineOptions {
  readonly dbms: DatabaseSystem;
  readonly memoryBytes: number;
  readonly poolBytes: number;
  readonly tables: number;
  readonly rowsPerTable: number;
  readonly serverOptions?: readonly string[];
  readonly kernelParameters?: readonly string[];
  readonly log: Log;
}

export const diskSerial = 'agent-lab-disk';
const bootMs = 180_000;

export class GuestMachine {
  /** All of the guest's memory; below 3 GiB a guest-physical address is an offset in it. */
  readonly ramPath: string;
  readonly diskPath: string;
  readonly agentSocket: string;
  readonly sqlPort: number;
  private readonly qemu: ChildProcess;
  private readonly folder: string;

  private constructor(qemu: ChildProcess, folder: string, ramPath: string, sqlPort: number) {
    this.qemu = qemu;
    this.folder = folder;
    this.ramPath = ramPath;
    this.sqlPort = sqlPort;
    this.diskPath = path.join(folder, 'disk.img');
    this.agentSocket = path.join(folder, 'agent.sock');
  }

  /** Boots it and waits until the agent sees the server. */
  static async boot(options: GuestMachineOptions): Promise<GuestMachine> {
    const { dbms, tables, rowsPerTable, log } = options;
    const image = await prepareGuestImage({ dbms, tables, rowsPerTable, log });
    const folder = await mkdtemp('/var/tmp/poolshift-guest-');
    const ramFolder = await mkdtemp('/dev/shm/poolshift-guest-');
    const key = path.join(folder, 'key');
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const initrd = await makeInitrd({
      base: image.initrdPath,
      authorizedKey: readFileSync(`${key}.pub`, 'utf8').trim(),
      agentBundlePath: await bundleAgent(log),
      log,
    });
    const disk = path.join(folder, 'disk.img');
    await promisify(execFile)('cp', ['--sparse=always', '--reflink=auto', image.diskPath, disk]);
    await copyFile(initrd, path.join(folder, 'initrd'), constants.COPYFILE_FICLONE);
    const sqlPort = await freePort();
    const found = findQemu();
    if (found === undefined)
      throw new Error('QEMU 9 or newer is needed; `npm run lab -- prepare` brings one');
    const { command, leadingArguments, environment } = found.installation;
    const ram = path.join(ramFolder, 'ram');
    const qemu = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', command, ...leadingArguments],
        ...['-nodefaults', '-display', 'none', '-no-reboot', '-machine', 'q35,usb=off,memory-backend=ram0'],
        ...['-accel', 'tcg', '-cpu', 'Nehalem', '-smp', '1', '-m', `${options.memoryBytes}B`],
        '-object',
        `memory-backend-file,id=ram0,share=on,mem-path=${ram},size=${options.memoryBytes}B`,
        ...['-kernel', image.kernelPath, '-initrd', path.join(folder, 'initrd'), '-append'],
        [
          'console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off nokaslr tsc=reliable no_timer_check',
          `poolshift.address=10.0.2.15/24 poolshift.pool=${options.poolBytes}`,
          ...(options.serverOptions === undefined
            ? []
            : [`poolshift.options=${options.serverOptions.join(',')}`]),
          ...(options.kernelParameters ?? []),
        ].join(' '),
        ...['-drive', `if=none,id=disk0,format=raw,cache=none,file=${disk}`],
        ...['-device', `virtio-blk-pci,drive=disk0,serial=${diskSerial}`],
        ...['-netdev', `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${sqlPort}-10.0.2.15:3306`],
        ...['-device', 'virtio-net-pci,netdev=net0,romfile='],
        ...['-device', 'virtio-serial-pci', '-chardev'],
        `socket,id=agent0,path=${path.join(folder, 'agent.sock')},server=on,wait=off`,
        ...['-device', `virtserialport,chardev=agent0,name=${agentPortName}`],
        ...['-serial', `file:${path.join(folder, 'console')}`],
      ],
      { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...environment } },
    );
    const machine = new GuestMachine(qemu, folder, ram, sqlPort);
    try {
      await machine.waitForServer();
      return machine;
    } catch (error) {
      log(machine.console.split('\n').slice(-20).join('\n'));
      await machine.stop();
      throw error;
    }
  }

  /** Runs statements over the network, as sysbench's user. */
  async sql(statements: string): Promise<void> {
    const connection = await createConnection({
      host: '127.0.0.1',
      port: this.sqlPort,
      user: 'sbtest',
      password: 'sbtest',
      database: 'sbtest',
      multipleStatements: true,
    });
    try {
      await connection.query({ sql: statements, timeout: 300_000 });
    } finally {
      connection.destroy();
    }
  }

  /** What the kernel and the server wrote on the console. */
  get console(): string {
    return readFileSync(path.join(this.folder, 'console'), 'utf8');
  }

  /** Stops the whole machine, so that its memory and disk do not change any more. */
  pause(): void {
    this.qemu.kill('SIGSTOP');
  }

  resume(): void {
    this.qemu.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.qemu.exitCode === null && this.qemu.signalCode === null) {
      const ended = once(this.qemu, 'exit');
      this.qemu.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true });
    await rm(path.dirname(this.ramPath), { recursive: true });
  }

  private async waitForServer(): Promise<void> {
    const endMs = performance.now() + bootMs;
    let lastError: unknown;
    while (performance.now() < endMs) {
      if (this.qemu.exitCode !== null) throw new Error(`QEMU ended with ${this.qemu.exitCode}`);
      try {
        const { servers } = await requestStatus(this.agentSocket, { firstAnswerTimeoutMs: 3000 });
        if (servers.length > 0) {
          await this.sql('SELECT 1');
          return;
        }
      } catch (error) {
        lastError = error;
      }
      await sleep(500);
    }
    throw new Error(`the guest's server was not up within ${bootMs / 1000} s`, { cause: lastError });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
