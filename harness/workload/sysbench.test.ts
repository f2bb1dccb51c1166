import test from 'ava';
import fc from 'fast-check';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import { parseInterval, sysbenchCommand, SysbenchOutput, type SysbenchInterval } from './sysbench.ts';

/** Printed by sysbench 1.0.20 (Debian) with --rate=20 --threads=2, shortened. */
const output = `sysbench 1.0.20 (using system LuaJIT 2.1.0-beta3)

Running the test with following options:
Number of threads: 2
Target transaction rate: 20/sec
Report intermediate results every 1 second(s)
Initializing random number generator from seed (7).


Initializing worker threads...

Threads started!

[ 1s ] thds: 2 tps: 30.96 qps: 619.18 (r/w/o: 433.43/123.84/61.92) lat (ms,95%): 3.43 err/s: 0.00 reconn/s: 0.00
[ 1s ] queue length: 0, concurrency: 0
[ 2s ] thds: 2 tps: 0.00 qps: 0.00 (r/w/o: 0.00/0.00/0.00) lat (ms,95%): 0.00 err/s: 1.00 reconn/s: 2.00
[ 2s ] queue length: 19, concurrency: 2
SQL statistics:
    queries performed:
        read:                            1302
        write:                           372
        other:                           186
        total:                           1860
    transactions:                        93     (23.10 per sec.)
    queries:                             1860   (462.00 per sec.)
    ignored errors:                      1      (0.00 per sec.)
    reconnects:                          2      (0.00 per sec.)

General statistics:
    total time:                          4.0256s
    total number of events:              93

Latency (ms):
         min:                                    1.79
         avg:                                    2.83
         max:                                    6.20
         95th percentile:                        3.36
         sum:                                  262.89

Threads fairness:
    events (avg/stddev):           46.5000/0.50
    execution time (avg/stddev):   0.1314/0.00

`;

const firstSecond: SysbenchInterval = {
  second: 1,
  threads: 2,
  tps: 30.96,
  qps: 619.18,
  readQps: 433.43,
  writeQps: 123.84,
  latencyMs: 3.43,
  errorsPerSecond: 0,
  reconnectsPerSecond: 0,
};

const summary = {
  totalTimeSeconds: 4.0256,
  transactions: 93,
  queries: 1860,
  ignoredErrors: 1,
  reconnects: 2,
  latencyAverageMs: 2.83,
  latencyMaximumMs: 6.2,
  latencyMs: 3.36,
};

function read(chunks: readonly Uint8Array[]) {
  const splitter = new LineSplitter();
  const parser = new SysbenchOutput();
  const lines = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
  const intervals = lines.map((line) => parser.push(line)).filter((interval) => interval !== undefined);
  return { intervals, summary: parser.summary };
}

test('report lines and summary are read, wherever the bytes are cut', (t) => {
  const bytes = Buffer.from(output);
  const whole = read([bytes]);
  t.deepEqual(whole.intervals[0], firstSecond);
  t.is(whole.intervals.length, 2);
  t.deepEqual(
    [whole.intervals[1]?.tps, whole.intervals[1]?.errorsPerSecond, whole.intervals[1]?.reconnectsPerSecond],
    [0, 1, 2],
  );
  t.deepEqual(whole.summary, summary);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { intervals, summary: atCut } = read([bytes.subarray(0, cut), bytes.subarray(cut)]);
    if (intervals.length !== 2 || atCut?.transactions !== 93) t.fail(`cut at ${cut}`);
  }
});

test('a run that was ended early has no summary', (t) => {
  t.is(read([Buffer.from(output.slice(0, output.indexOf('Latency')))]).summary, undefined);
});

test('a line that was cut short is never taken for a whole one', (t) => {
  const line =
    '[ 12s ] thds: 4 tps: 8.00 qps: 160.02 (r/w/o: 112.01/32.00/16.00) lat (ms,95%): 125.52 err/s: 0.00 reconn/s: 0.00';
  t.is(parseInterval(line)?.second, 12);
  for (let cut = 0; cut < line.length - 3; cut += 1) t.is(parseInterval(line.slice(0, cut)), undefined);
  fc.assert(
    fc.property(fc.string(), (text) => {
      t.is(parseInterval(text), undefined);
    }),
  );
});

test('the command', (t) => {
  const command = sysbenchCommand({
    workload: 'oltp_read_write',
    server: { host: '10.30.0.10', port: 3306, user: 'sbtest', password: 's p' },
    tables: 8,
    rowsPerTable: 900_000,
    threads: 4,
    rateTps: 0,
    timeSeconds: 90,
    seed: 7,
  });
  t.deepEqual([command[0], command[1], command.at(-1)], ['sysbench', 'oltp_read_write', 'run']);
  for (const argument of [
    '--mysql-host=10.30.0.10',
    '--mysql-password=s p',
    '--mysql-ssl=off',
    '--tables=8',
    '--table-size=900000',
    '--threads=4',
    '--rate=0',
    '--time=90',
    '--rand-seed=7',
    '--report-interval=1',
  ]) {
    t.true(command.includes(argument), argument);
  }
});
