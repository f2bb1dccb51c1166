/**
 * The connection between the engines over loopback: frames of QEMU's stream from one process to another, without TLS (with
 * checksums) and with TLS by a key, in alternation. Nothing is done with what arrives but to count and acknowledge it.
 * `node bench/wire.bench.ts [--json]`
 */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Option } from 'commander';
import { median } from 'simple-statistics';
import { number } from '../engine/cli/arguments.ts';
import { EngineConnection } from '../engine/wire/connection.ts';
import { adopt, createPausedServer, type SocketOpener } from '../engine/wire/fast-socket.ts';
import { connectToPeer, type PeerSecurity, peerGate, protectionOf } from '../engine/wire/peer-security.ts';
import { benchCommand } from './bench-command.ts';

const ways = ['plaintext', 'TLS'] as const;
type Way = (typeof ways)[number];

const rounds = 9;
const totalBytes = 2e9;
/** As the source engine sends (engine/source/destination-link.ts). */
const frameBytes = 128 * 1024;
/** So much may be under way, as on a fast link. */
const windowBytes = 8 * 1024 * 1024;
const key = Buffer.alloc(32, 7);

interface Round {
  readonly gigabytesPerSecond: number;
  readonly sendCpuSecondsPerGigabyte: number;
  readonly receiveCpuSecondsPerGigabyte: number;
}

function securityOf(way: Way): PeerSecurity {
  return way === 'TLS' ? { by: 'pre-shared-key', key } : { by: 'nothing' };
}

const liveness = { heartbeatMs: 1000, timeoutMs: 10_000 };
const hello = Buffer.from('{}');

/** CPU seconds of this process so far. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** In a process of its own: sends, and prints what it took. */
function send(way: Way, port: number): void {
  const payload = randomFillSync(Buffer.allocUnsafeSlow(frameBytes));
  const security = securityOf(way);
  let started = 0;
  let startedCpu = 0;
  let sentBytes = 0;
  const pump = (): void => {
    while (started > 0 && sentBytes < totalBytes && connection.outstandingBytes < windowBytes) {
      connection.send('stream', payload);
      sentBytes += payload.length;
    }
    if (sentBytes < totalBytes || connection.acknowledgedBytes < connection.sentBytes) return;
    console.log(
      JSON.stringify({ seconds: performance.now() / 1000 - started, cpu: cpuSeconds() - startedCpu }),
    );
    connection.end();
  };
  const open: SocketOpener = (onChunk, buffer) =>
    connectToPeer(security, { host: '127.0.0.1', port }, buffer, onChunk, () => {
      connection.send('hello', hello);
    });
  const connection = new EngineConnection(open, {
    ...liveness,
    protection: protectionOf(security),
    onFrame: () => {
      connection.greeted();
      started = performance.now() / 1000;
      startedCpu = cpuSeconds();
      pump();
    },
    onRoom: pump,
    onClosed: (error) => {
      if (error !== undefined) throw error;
    },
  });
}

async function measure(way: Way): Promise<Round> {
  const security = securityOf(way);
  const admit = peerGate(security, 10_000);
  const startedCpu = { seconds: 0 };
  const ended = Promise.withResolvers<number>();
  const server = createPausedServer(false, (accepted) => {
    admit(
      accepted,
      (secured) => {
        const connection = new EngineConnection((onChunk, buffer) => adopt(secured, buffer, onChunk), {
          ...liveness,
          protection: protectionOf(security),
          onFrame: (type) => {
            if (type !== 'hello') return;
            connection.greeted();
            connection.send('hello', hello);
            startedCpu.seconds = cpuSeconds();
          },
          onBatch: () => {
            connection.acknowledge(connection.receivedBytes);
          },
          // The sender has closed: it has all acknowledgements.
          onClosed: () => {
            ended.resolve(cpuSeconds() - startedCpu.seconds);
          },
        });
      },
      (reason) => {
        ended.reject(new Error(reason));
      },
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const sender = spawn(
    process.execPath,
    [import.meta.filename, '--send', way, '--port', String(address.port)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const exited = once(sender, 'close');
  let sent: { readonly seconds: number; readonly cpu: number } | undefined;
  for await (const line of createInterface({ input: sender.stdout })) sent = JSON.parse(line) as typeof sent;
  const receiveCpu = await ended.promise;
  await exited;
  server.close();
  if (sent === undefined) throw new Error('the sender ended early');
  const gigabytes = totalBytes / 1e9;
  return {
    gigabytesPerSecond: gigabytes / sent.seconds,
    sendCpuSecondsPerGigabyte: sent.cpu / gigabytes,
    receiveCpuSecondsPerGigabyte: receiveCpu / gigabytes,
  };
}

async function main(): Promise<void> {
  const values = benchCommand(
    import.meta.filename,
    'The connection between the engines over loopback, without TLS and with it.',
  )
    .addOption(new Option('--send <way>').choices(ways).hideHelp())
    .addOption(new Option('--port <n>').argParser(number(1, 65_535)).hideHelp())
    .parse()
    .opts<{ readonly send?: Way; readonly port?: number; readonly json?: true }>();
  if (values.send !== undefined && values.port !== undefined) {
    send(values.send, values.port);
    return;
  }
  const measured: Record<Way, Round[]> = { plaintext: [], TLS: [] };
  // The first round of each compiles.
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of ways) {
      const result = await measure(name);
      if (round > 0) measured[name].push(result);
    }
  }
  const medians = ways.map((name) => {
    const of = (figure: keyof Round): number => median(measured[name].map((round) => round[figure]));
    const speeds = measured[name].map(({ gigabytesPerSecond }) => gigabytesPerSecond);
    return {
      way: name,
      gigabytesPerSecond: of('gigabytesPerSecond'),
      lowest: Math.min(...speeds),
      highest: Math.max(...speeds),
      sendCpuSecondsPerGigabyte: of('sendCpuSecondsPerGigabyte'),
      receiveCpuSecondsPerGigabyte: of('receiveCpuSecondsPerGigabyte'),
    };
  });
  if (values.json === true) {
    console.log(JSON.stringify({ bench: 'wire', totalBytes, frameBytes, windowBytes, rounds, medians }));
    return;
  }
  console.log(
    `${totalBytes / 1e9} GB in frames of ${frameBytes} bytes over loopback, medians of ${rounds} rounds each`,
  );
  console.log('             GB/s (lowest to highest)   CPU s per GB: sender, receiver');
  for (const result of medians) {
    const { gigabytesPerSecond: speed, lowest, highest } = result;
    const cpu = `${result.sendCpuSecondsPerGigabyte.toFixed(2)}, ${result.receiveCpuSecondsPerGigabyte.toFixed(2)}`;
    console.log(
      `  ${result.way.padEnd(10)} ${speed.toFixed(2)} (${lowest.toFixed(2)} to ${highest.toFixed(2)})`.padEnd(
        40,
      ) + cpu,
    );
  }
}

await main();
