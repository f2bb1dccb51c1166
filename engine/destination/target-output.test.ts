import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { TargetOutput } from './target-output.ts';

interface Fixture {
  readonly output: TargetOutput;
  readonly received: () => string;
  /** The target's end. */
  readonly target: Socket;
}

async function outputTo(t: ExecutionContext): Promise<Fixture> {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-output-'));
  const server = createServer().listen(path.join(folder, 'target'));
  await once(server, 'listening');
  const connection = once(server, 'connection') as Promise<[Socket]>;
  const socket = connect(path.join(folder, 'target'));
  const [target] = await connection;
  let received = '';
  target.on('data', (bytes: Buffer) => (received += bytes.toString()));
  t.teardown(() => {
    socket.destroy();
    target.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { output: new TargetOutput(socket), received: () => received, target };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('what follows a package is held with it, and is not what the target needs to start', async (t) => {
  const { output, received } = await outputTo(t);
  const add = (text: string): void => {
    output.add(Buffer.from(text), 0, text.length);
  };
  add('ram ');
  output.flush();
  output.hold();
  add('package');
  output.endHere();
  add(' pages');
  output.flush();
  t.true(output.undelivered);
  await until(() => received() === 'ram ');
  output.release();
  // Its last byte goes when the kernel has the others.
  t.true(output.undelivered);
  add(' more');
  await until(() => !output.undelivered);
  output.flush();
  await until(() => received().length === 'ram package pages more'.length);
  t.is(received(), 'ram package pages more');
});

test('without a package, the stream’s end is what the target needs', async (t) => {
  const { output, received } = await outputTo(t);
  output.hold();
  output.add(Buffer.from('state'), 0, 5);
  t.is(output.heldBytes, 5);
  output.release();
  await until(() => received() === 'state');
  t.false(output.undelivered);
});

test('what comes while the last byte waits for a target that does not read takes room as what was written', async (t) => {
  const { output, received, target } = await outputTo(t);
  target.pause();
  const ram = Buffer.alloc(500_000, 'r');
  output.add(ram, 0, ram.length);
  output.hold();
  output.add(Buffer.from('package'), 0, 7);
  output.endHere();
  output.release();
  t.true(output.undelivered);
  t.true(output.hasRoomBeside);
  const pages = Buffer.alloc(64 * 1024, 'p');
  let added = 0;
  const addWhile = (hasRoom: () => boolean): void => {
    for (; hasRoom() && added < 16 * 1024 * 1024; added += pages.length) output.add(pages, 0, pages.length);
  };
  addWhile(() => output.hasRoomBeside);
  t.true(added < 1024 * 1024, `${added}`);
  addWhile(() => output.hasRoom);
  t.true(added < 5 * 1024 * 1024, `${added}`);
  target.resume();
  await until(() => received().length === ram.length + 7 + added);
  t.true(output.hasRoomBeside);
  t.is(received().slice(ram.length, ram.length + 8), 'packagep');
});
