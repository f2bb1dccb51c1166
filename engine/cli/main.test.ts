/** The command line as a user meets it. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { readFixture } from '../stream/testing/fixtures.ts';
import { bundleEngine } from './bundle.ts';

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const main = path.join(import.meta.dirname, 'main.ts');

function run(program: string, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { timeout: 300_000 }, (error, stdout, stderr) => {
      resolve({
        status: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1,
        stdout,
        stderr,
      });
    });
  });
}

test('help names the commands and the exit status', async (t) => {
  const { status, stdout } = await run(main, '--help');
  t.is(status, 0);
  for (const command of ['source', 'destination', 'recover', 'list', 'storage', 'inspect-stream'])
    t.true(stdout.includes(command));
  t.regex(stdout, /3 in doubt/);
});

test('storage is opened as the destination engine would, and what cannot be opened says why', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const [raw, vmdk] = ['raw', 'vmdk'].map((name) => path.join(folder, name));
  writeFileSync(raw ?? '', Buffer.alloc(8192));
  writeFileSync(vmdk ?? '', Buffer.alloc(8192, 'KDMV'));
  const { status, stdout } = await run(main, 'storage', '--json', `vda=${raw}`, vmdk ?? '');
  t.is(status, 1);
  const [opened, refused] = stdout.split('\n').map((line) => JSON.parse(line || '{}') as object);
  t.like(opened, { event: 'storage', source: `vda=${raw}`, size_bytes: 8192 });
  t.like(refused, {
    event: 'storage-unusable',
    source: vmdk,
    reason: `${vmdk} is a VMDK image: only raw and qcow2 are read`,
  });
  t.is((await run(main, 'storage', raw ?? '')).status, 0);
});

test('a recovery without its file says so', async (t) => {
  const { status, stderr } = await run(
    main,
    'recover',
    '/nonexistent/recovery',
    '--target',
    'unix:/nonexistent/socket',
  );
  t.is(status, 1);
  t.regex(stderr, /cannot read \/nonexistent\/recovery/);
});

/** Whether a process has a file open. */
function opens(pid: number, file: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => readlinkSync(path.join(folder, fd)) === file);
  } catch {
    return false;
  }
}

test('Ctrl-C ends what waits', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-main-'));
  const silent = createServer();
  try {
    const fifo = path.join(folder, 'stream');
    execFileSync('mkfifo', ['-m', '600', fifo]);
    const socket = path.join(folder, 'agent');
    const seen = { connection: false };
    silent.on('connection', () => (seen.connection = true));
    await new Promise<void>((resolve) => silent.listen(socket, resolve));
    // One that writes nothing, so that the reader has opened it.
    const writer = openSync(fifo, 'r+');
    for (const [args, end] of [
      [
        ['inspect-stream', fifo],
        [null, 'SIGINT'],
      ],
      [
        ['source', '--listen', `unix:${socket}`, '--connect', '127.0.0.1:1', '--psk-file', fifo],
        [null, 'SIGINT'],
      ],
      [
        ['list', '--agent', socket],
        [130, null],
      ],
    ] as const) {
      const child = spawn(process.execPath, [main, ...args], { stdio: 'ignore' });
      const limit = setTimeout(() => child.kill('SIGKILL'), 60_000);
      const ended = once(child, 'exit');
      while (!opens(child.pid ?? 0, fifo) && !seen.connection)
        await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill('SIGINT');
      t.deepEqual(await ended, end, args[0]);
      clearTimeout(limit);
    }
    closeSync(writer);
  } finally {
    silent.close();
    rmSync(folder, { recursive: true });
  }
});

test('a wrong command line says what is wrong, with status 2', async (t) => {
  for (const [args, text] of [
    [['nonsense'], /unknown command/],
    [['source'], /--listen/],
    [['source', '--listen', '/tmp/x', '--connect', 'h:1'], /unix:PATH/],
    [['source', '--listen', 'unix:/tmp/x', '--connect', 'nowhere'], /HOST:PORT/],
    [['source', '--listen', 'unix:/tmp/x', '--connect', 'h:1', '--strategy', 'magic'], /restore, balance/],
    [['source', '--listen', 'unix:/tmp/x', '--connect', 'h:1', '--ram', 'x'], /pid:NUMBER/],
    [
      ['source', '--listen', 'unix:/tmp/x', '--connect', 'h:1', '--before-switch', '30'],
      /--before-switch goes with --strategy resume/,
    ],
    ...(
      [
        [['--agent', '/tmp/x', '--list-file', '/tmp/y'], /--list-file stands in the place of --agent/],
        [['--agent-timeout', '5'], /--agent-timeout goes with --agent/],
        [['--list-file', '/tmp/y', '--clean', 'checkpoint'], /--clean goes with --agent/],
        [['--memory-map', '/tmp/x'], /--memory-map goes with --ram/],
        [['--leave-out', 'always'], /--leave-out goes with --strategy balance/],
      ] as const
    ).map(
      ([useless, text]) =>
        [['source', '--listen', 'unix:/tmp/x', '--connect', 'h:1', ...useless], text] as const,
    ),
    [['list', '--agent', '/tmp/x', '--explain', '--json'], /'--json' cannot be used with option '--explain'/],
    [['list', '--agent', '/tmp/x', '--agent-timeout', '3000000'], /86400 at most/],
    [['recover', '--target', 'unix:/tmp/y'], /missing required argument 'file'/],
    [['recover', '/tmp/x'], /--target/],
    [['recover', '/tmp/x', '--target', '/tmp/y'], /unix:PATH/],
    [['destination', '--storage', '/a', '--storage', '/b'], /NAME=PLACE/],
    [['destination', '--storage', 'vda=/a', '--storage', 'vda=/b'], /"vda" has a place already/],
    [['destination', '--listen', 'h:99999', '--incoming', 'unix:/tmp/x'], /HOST:PORT/],
  ] as const) {
    const { status, stderr } = await run(main, ...args);
    t.is(status, 2, args.join(' '));
    t.regex(stderr, text);
  }
});

test('without a word on how the other engine is known no engine starts, and says what to do', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const readable = path.join(folder, 'readable');
  writeFileSync(readable, 'ab'.repeat(32));
  chmodSync(readable, 0o644);
  const source = ['source', '--listen', `unix:${folder}/socket`, '--connect', '127.0.0.1:1'];
  const destination = ['destination', '--listen', '127.0.0.1:0', '--incoming', 'unix:/nowhere'];
  for (const [args, text] of [
    [source, /--psk-file .*poolshift-engine key.*--tls-dir.*--insecure-plaintext/],
    [destination, /--psk-file .*poolshift-engine key.*--tls-dir.*--insecure-plaintext/],
    [[...source, '--insecure-plaintext', '--psk-file', readable], /only one of these/],
    [[...source, '--psk-file', readable], /others may read/],
    [[...destination, '--psk-file', path.join(folder, 'nothing')], /ENOENT/],
    [[...destination, '--tls-dir', folder], /ca-cert\.pem/],
    [[...source, '--insecure-plaintext', '--tls-hostname', 'x'], /--tls-dir/],
  ] as const) {
    const { status, stderr } = await run(main, ...args);
    t.is(status, 2, args.join(' '));
    t.regex(stderr, text);
  }
});

test('a key is made once, and taken from a file or a descriptor', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'key');
  t.like(await run(main, 'key', '--out', file), { status: 0, stdout: '', stderr: '' });
  t.is(statSync(file).mode & 0o777, 0o600);
  const again = await run(main, 'key', '--out', file);
  t.is(again.status, 2);
  t.regex(again.stderr, /EEXIST/);
  t.regex((await run(main, 'key')).stdout, /^[0-9a-f]{64}\n$/);
  for (const [place, descriptor] of [
    [file, undefined],
    ['fd:0', 0],
    ['fd:3', 3],
  ] as const) {
    const key = openSync(file, 'r');
    const engine = spawn(
      process.execPath,
      [
        ...[main, 'destination', '--listen', '127.0.0.1:0', '--incoming', 'unix:/nowhere'],
        ...['--psk-file', place, '--json'],
      ],
      { stdio: [descriptor === 0 ? key : 'ignore', 'pipe', 'inherit', key] },
    );
    closeSync(key);
    if (engine.stdout === null) throw new Error('no pipe');
    const [first] = (await once(engine.stdout, 'data')) as [Buffer];
    engine.kill('SIGTERM');
    await once(engine, 'exit');
    t.regex(first.toString(), /"event":"listening"/, place);
  }
});

test('guest memory does not become standard input where the key came from', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const [keyFile, memory] = [path.join(folder, 'key'), path.join(folder, 'memory')];
  writeFileSync(keyFile, 'ab'.repeat(32));
  // Others may read it, so that a warning says when it is open.
  writeFileSync(memory, 'move\n', { mode: 0o644 });
  const key = openSync(keyFile, 'r');
  const engine = spawn(
    process.execPath,
    [
      ...[main, 'source', '--listen', `unix:${folder}/socket`, '--connect', '127.0.0.1:1', '--json'],
      ...['--psk-file', 'fd:0', '--strategy', 'resume', '--ram', `file:${memory}`],
    ],
    { stdio: [key, 'pipe', 'inherit'] },
  );
  closeSync(key);
  const ended = once(engine, 'exit');
  if (engine.stdout === null) throw new Error('no pipe');
  const [first] = (await once(engine.stdout, 'data')) as [Buffer];
  t.regex(first.toString(), /ram-readable-by-others/);
  engine.kill('SIGSTOP');
  t.is(readlinkSync(`/proc/${engine.pid ?? 0}/fd/0`), keyFile);
  engine.kill('SIGKILL');
  await ended;
});

test('a reader of its output that has gone does not change how it ends', async (t) => {
  const child = spawn(process.execPath, [main, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  t.deepEqual(await once(child, 'exit'), [0, null]);
  t.is(stderr, '');
});

test('a key that a full disk does not take is not made', async (t) => {
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [main, 'key'], { stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  t.deepEqual(await once(child, 'close'), [1, null]);
  t.regex(stderr, /standard output is not written: ENOSPC/);
});

test('a destination that cannot be reached is reported, with status 1', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const socket = `unix:${folder}/socket`;
  const { status, stdout } = await run(
    main,
    'source',
    '--listen',
    socket,
    '--connect',
    '127.0.0.1:1',
    '--insecure-plaintext',
    '--json',
  );
  t.is(status, 1);
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  t.like(last, { event: 'failed', code: 'closed', peer: false });
  t.regex(String(last['reason']), /ECONNREFUSED/);
});

test('a file in the place of the socket stays, and nothing begins', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const disk = path.join(folder, 'disk.img');
  writeFileSync(disk, 'precious');
  const { status, stdout, stderr } = await run(
    main,
    'source',
    '--listen',
    `unix:${disk}`,
    '--connect',
    '127.0.0.1:1',
    '--insecure-plaintext',
    '--json',
  );
  t.is(status, 1);
  t.is(stdout, '');
  t.regex(stderr, /disk\.img exists and is not a socket; nothing was changed/);
  t.is(readFileSync(disk, 'utf8'), 'precious');
});

test('a stream is summarised', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-cli-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'stream');
  writeFileSync(file, readFixture('qemu-10.0-plain'));
  const { status, stdout } = await run(main, 'inspect-stream', file, '--json');
  t.is(status, 0);
  t.like(JSON.parse(stdout), { end: { is: 'complete' } });
  t.is((await run(main, 'inspect-stream', path.join(folder, 'nothing'))).status, 1);
  writeFileSync(file, Buffer.alloc(100_000, 'noise'));
  t.is((await run(main, 'inspect-stream', file)).status, 1);
  writeFileSync(file, '');
  t.is((await run(main, 'inspect-stream', file)).status, 1);
});

test('the bundle runs by itself', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-bundle-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const bundle = path.join(folder, 'engine.mjs');
  await bundleEngine(bundle);
  const { status, stdout } = await run(bundle, 'destination', '--help');
  t.is(status, 0);
  t.regex(stdout, /--incoming/);
});
