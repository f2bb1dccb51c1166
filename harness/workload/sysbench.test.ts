import test from 'ava';
import fc from 'fast-check';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import { guestServer } from './database-server.ts';
import { sysbenchCommand, SysbenchOutput, type SysbenchSaid } from './sysbench.ts';

/** Printed by sysbench 1.0.20 (Debian) with our script, --rate=20 --threads=2, over a server that was killed; shortened. */
const output = `sysbench 1.0.20 (using system LuaJIT 2.1.0-beta3)

Running the test with following options:
Number of threads: 2
Target transaction rate: 20/sec
Report intermediate results every 1 second(s)

Threads started!

{"sysbench":"second","seconds":1.002000,"threads":2,"transactions":21,"reads":294,"writes":84,"others":42,"errors":0,"queued":0,"in_service":0,"latencies":[[1.41747,15],[12.0812,6]]}
{"sysbench":"connection","state":"lost","thread":1,"errno":2013}
{"sysbench":"second","seconds":1.000000,"threads":2,"transactions":12,"reads":168,"writes":48,"others":24,"errors":2,"queued":4,"in_service":2,"latencies":[[9.5,12]]}
{"sysbench":"second","seconds":1.000000,"threads":2,"transactions":0,"reads":0,"writes":0,"others":0,"errors":0,"queued":23,"in_service":2,"latencies":[]}
{"sysbench":"connection","state":"connected","thread":1,"errno":0}
{"sysbench":"second","seconds":0.500000,"threads":2,"transactions":35,"reads":490,"writes":140,"others":70,"errors":0,"queued":0,"in_service":0,"latencies":[[1045.5,35]]}
SQL statistics:
    transactions:                        68     (20.47 per sec.)
`;

function read(chunks: readonly Uint8Array[]) {
  const splitter = new LineSplitter();
  const parser = new SysbenchOutput();
  const lines = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
  const said = lines.map((line) => parser.push(line)).filter((one) => one !== undefined);
  return { said, totals: parser.totals };
}

const secondsOf = (said: readonly SysbenchSaid[]) => said.filter((one) => one.kind === 'second');

test('seconds, connections and totals are read, wherever the bytes are cut', (t) => {
  const bytes = Buffer.from(output);
  const whole = read([bytes]);
  const [first, ...others] = secondsOf(whole.said);
  t.deepEqual(first, {
    kind: 'second',
    tps: 21 / 1.002,
    qps: 420 / 1.002,
    readQps: 294 / 1.002,
    writeQps: 84 / 1.002,
    errorsPerSecond: 0,
    reconnectsPerSecond: 0,
    open: { offeredTps: 21 / 1.002, queued: 0 },
    latencies: [
      { ms: 1.41747, transactions: 15 },
      { ms: 12.0812, transactions: 6 },
    ],
  });
  // What fell due is what was done and what is more in the queue and at the server than before.
  t.deepEqual(
    others.map(({ tps, open, errorsPerSecond, reconnectsPerSecond }) => [
      tps,
      open?.offeredTps,
      open?.queued,
      errorsPerSecond,
      reconnectsPerSecond,
    ]),
    [
      [12, 18, 4, 2, 0],
      [0, 19, 23, 0, 0],
      [70, 20, 0, 0, 2],
    ],
  );
  t.deepEqual(
    whole.said.filter((one) => one.kind === 'connection'),
    [
      { kind: 'connection', state: 'lost', thread: 1, errno: 2013 },
      { kind: 'connection', state: 'connected', thread: 1, errno: 0 },
    ],
  );
  t.deepEqual(whole.totals, { transactions: 68, errors: 2, reconnects: 1 });
  for (let cut = 0; cut <= bytes.length; cut += 1)
    t.deepEqual(read([bytes.subarray(0, cut), bytes.subarray(cut)]), whole);
});

test('at full speed nothing falls due', (t) => {
  const { said } = read([Buffer.from(output.replace(/^Target.*\n/m, ''))]);
  t.deepEqual(
    secondsOf(said).map(({ open }) => open),
    [undefined, undefined, undefined, undefined],
  );
});

test('a line that was cut short is never taken for a whole one', (t) => {
  const [line = ''] = output.split('\n').filter((text) => text.startsWith('{'));
  t.not(new SysbenchOutput().push(line), undefined);
  for (let cut = 0; cut < line.length; cut += 1)
    t.is(new SysbenchOutput().push(line.slice(0, cut)), undefined);
  fc.assert(
    fc.property(fc.string(), (text) => {
      t.is(new SysbenchOutput().push(`{"sysbench"${text}`), undefined);
    }),
  );
});

const load = {
  script: '/run/load.lua',
  data: { kind: 'oltp', tables: 8, rowsPerTable: 900_000 },
  threads: 4,
  rateTps: 0,
  timeSeconds: 90,
  seed: 7,
} as const;

test('the command for PostgreSQL', (t) => {
  const command = sysbenchCommand({ ...load, server: guestServer('postgresql', '10.30.0.10') });
  for (const argument of ['--db-driver=pgsql', '--pgsql-host=10.30.0.10', '--pgsql-port=5432', '--tables=8'])
    t.true(command.includes(argument), argument);
  t.false(command.some((argument) => argument.includes('mysql')));
});

test('the command', (t) => {
  const command = sysbenchCommand({
    ...load,
    server: { ...guestServer('mariadb', '10.30.0.10'), password: 's p' },
  });
  t.deepEqual([command[0], command[1], command.at(-1)], ['sysbench', '/run/load.lua', 'run']);
  for (const argument of [
    '--mysql-host=10.30.0.10',
    '--mysql-password=s p',
    '--mysql-ssl=off',
    '--mysql-db=sbtest',
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
