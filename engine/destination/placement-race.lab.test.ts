/**
 * What placement rests on, of a real QEMU (docs/engine-design.md, Placement): what is written into its memory while an older record is
 * on its way is lost, what is written after the PONG stays, and a later record wins. Some seconds; needs QEMU 9 or newer.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import type { QemuInstallation } from '../../qemu/installation.ts';
import { Qemu } from '../../qemu/qemu-process.ts';
import { StreamInjector } from '../stream/injector.ts';
import { returnPathMessage, streamCommand } from '../stream/records.ts';
import { ReturnPathReader } from '../stream/return-path.ts';
import { openTargetRam } from './target-ram.ts';

const ramBytes = 64 << 20;
const tries = 20;
/** Records before the one that is overtaken. */
const recordsBefore = 127;
const installation = findQemu()?.installation;
const serially = installation === undefined ? test.serial.skip : test.serial;

const machine = [
  ...['-machine', 'q35,graphics=off,memory-backend=ram0', '-accel', 'tcg', '-cpu', 'qemu64', '-vga', 'none'],
  ...['-m', `${ramBytes}B`, '-object', `memory-backend-memfd,id=ram0,share=on,size=${ramBytes}B`],
];

/** What a QEMU of this machine sends first. */
async function beginningOfStream(qemu: QemuInstallation, folder: string): Promise<Buffer> {
  const server = createServer().listen(path.join(folder, 'capture'));
  await once(server, 'listening');
  const source = await Qemu.start(qemu, [...machine, '-S']);
  try {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    await source.execute('migrate', { uri: `unix:${path.join(folder, 'capture')}` });
    const [socket] = await accepted;
    const chunks: Buffer[] = [];
    for await (const chunk of socket) {
      chunks.push(chunk as Buffer);
      if (chunks.reduce((sum, { length }) => sum + length, 0) > 100_000) break;
    }
    return Buffer.concat(chunks);
  } finally {
    await source.stop();
    server.close();
  }
}

serially(
  'a record on its way overwrites what is placed; one that was answered for does not; a later one wins',
  async (t) => {
    if (installation === undefined) return;
    t.timeout(10 * 60_000);
    const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-race-'));
    t.teardown(() => {
      rmSync(folder, { recursive: true });
    });
    const beginning = await beginningOfStream(installation, folder);
    const target = await Qemu.start(installation, [...machine, '-incoming', 'defer', '-S']);
    try {
      const incoming = path.join(folder, 'incoming');
      await target.execute('migrate-incoming', { uri: `unix:${incoming}` });
      const ram = openTargetRam({ kind: 'auto' }, incoming).block(ramBytes);
      t.is(ram.how, 'file');
      const socket = connect({ path: incoming, allowHalfOpen: true });
      await once(socket, 'connect');
      const answered = new Map<number, () => void>();
      const answers = new ReturnPathReader(({ type, data }) => {
        if (type === returnPathMessage.pong) answered.get(data.readUInt32BE())?.();
      });
      socket.on('data', (bytes: Buffer) => {
        answers.push(bytes);
      });
      const injector = new StreamInjector({}, (buffer, start, end) =>
        socket.write(Buffer.from(buffer.subarray(start, end))),
      );
      for (const byte of beginning) {
        injector.push(Buffer.from([byte]));
        if (injector.canCommand && injector.reader.position === 'ram') break;
      }
      const block = injector.reader.blocks.findIndex(({ name }) => name === 'ram0');
      injector.injectCommand(streamCommand.openReturnPath, Buffer.alloc(0));
      let pings = 0;
      const ping = (): Promise<void> => {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        const value = Buffer.alloc(4);
        value.writeUInt32BE(++pings);
        answered.set(pings, () => {
          resolve(undefined);
        });
        injector.injectCommand(streamCommand.ping, value);
        return promise;
      };
      await ping();
      const [older, newer, later] = [randomBytes(4096), randomBytes(4096), randomBytes(4096)];
      const zeros = Buffer.alloc(4096);
      const read = (page: number): Buffer => {
        const into = Buffer.alloc(4096);
        ram.read(page, 1, into, 0);
        return into;
      };
      const send = (page: number): void => {
        for (let before = recordsBefore; before >= 0; before--)
          injector.injectPage(block, page - before, older, 0);
      };
      /** While QEMU stands, records are on their way. */
      const signalQemu = (signal: 'SIGSTOP' | 'SIGCONT'): void => {
        if (target.pid === undefined) throw new Error('QEMU has ended');
        process.kill(target.pid, signal);
      };
      const held = { 'at once': 0, 'after the PONG': 0, 'before a later record': 0, 'before zeros': 0 };
      for (let i = 1; i <= tries; i++) {
        const page = 4096 + i * (recordsBefore + 1);
        signalQemu('SIGSTOP');
        send(page);
        ram.write(page, 1, newer, 0);
        signalQemu('SIGCONT');
        await ping();
        if (read(page).equals(newer)) held['at once'] += 1;
        send(page);
        await ping();
        ram.write(page, 1, newer, 0);
        await ping();
        if (read(page).equals(newer)) held['after the PONG'] += 1;
        injector.injectPage(block, page, later, 0);
        await ping();
        if (!read(page).equals(later)) held['before a later record'] += 1;
        ram.write(page, 1, newer, 0);
        injector.injectZeroPage(block, page);
        await ping();
        if (!read(page).equals(zeros)) held['before zeros'] += 1;
      }
      t.deepEqual(held, {
        'at once': 0,
        'after the PONG': tries,
        'before a later record': 0,
        'before zeros': 0,
      });
      socket.destroy();
    } finally {
      await target.stop();
    }
  },
);
