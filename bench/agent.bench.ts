/**
 * Time, memory and bytes that the guest agent takes for a page list, with a full buffer pool on this machine, without a
 * virtual machine. The agent runs as its bundle, in a process of its own: by itself, and behind a terminal in place of a
 * virtio port, where the time is from the request to the decoded list.
 * `node bench/agent.bench.ts [--gib 1] [--dbms mariadb|mysql|postgresql] [--node PATH] [--idle] [--json]`
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Option } from 'commander';
import { median } from 'simple-statistics';
import { number } from '../engine/cli/arguments.ts';
import { type DatabaseSystem, databaseSystems } from '../foundation/database-systems.ts';
import { agentStart, bundleAgent } from '../guest/image/agent-bundle.ts';
import { ScratchServer } from '../guest/lab/scratch-server.ts';
import { requestThroughTerminal } from './agent-port.ts';
import { benchCommand } from './bench-command.ts';

const rounds = 9;
/** The first lists read every file's first page and compile the agent; an agent in a guest has done so by itself. */
const warmUpRounds = 2;
const rowBytes = 1000;

interface Summary {
  readonly version: string;
  readonly method: string;
  readonly cachedPages: number;
  readonly dirtyPages: number;
  readonly excludedPages: number;
  readonly pages: number;
  readonly runs: number;
  readonly listBytes: number;
  readonly cpuMs: number;
  /** Since the agent's start. */
  readonly peakResidentBytes: number;
  readonly timings: {
    readonly findMs: number;
    readonly translateMs: number;
    readonly mapMs: number;
    readonly encodeMs: number;
  };
}

const rowsFor = (poolBytes: number): number => Math.floor((0.9 * poolBytes) / rowBytes);

const fillers: Readonly<
  Record<'innodb' | 'postgresql', (server: ScratchServer, rows: number) => Promise<void>>
> = {
  innodb: async (server, rows) => {
    await server.sql(
      `CREATE DATABASE bench; USE bench;
       CREATE TABLE rows_of_text (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(${rowBytes})) CHARACTER SET latin1;
       INSERT INTO rows_of_text (text) VALUES (REPEAT('x', ${rowBytes - 10}));`,
    );
    for (let filled = 1; filled < rows; filled *= 2)
      await server.sql(
        `INSERT INTO bench.rows_of_text (text) SELECT text FROM bench.rows_of_text LIMIT ${Math.min(filled, rows - filled)}`,
      );
    // MySQL copied rows through temporary tables, whose pages took a part of the pool.
    await server.sql('SELECT SUM(LENGTH(text)) FROM bench.rows_of_text');
  },
  postgresql: async (server, rows) => {
    await server.sql('CREATE EXTENSION pg_prewarm');
    await server.sql(
      `CREATE TABLE rows_of_text AS SELECT id, repeat('x', ${rowBytes - 60}) AS text FROM generate_series(1, ${rows}) AS id;
       ALTER TABLE rows_of_text ADD PRIMARY KEY (id)`,
    );
    await server.sql('VACUUM (FREEZE) rows_of_text');
    await server.sql("CHECKPOINT; SELECT pg_prewarm('rows_of_text')");
  },
};

/** Changes rows all over the table, one a transaction, until it is killed. */
const churns: Readonly<Record<keyof typeof fillers, (rows: number) => string>> = {
  innodb: (rows) =>
    `USE bench;
     DELIMITER //
     CREATE PROCEDURE churn() BEGIN
       LOOP
         SET @row = 1 + FLOOR(RAND() * ${rows});
         UPDATE rows_of_text SET text = CONCAT(RAND(), SUBSTR(text, 20)) WHERE id = @row;
       END LOOP;
     END //
     DELIMITER ;
     CALL churn();`,
  postgresql: (rows) =>
    `DO $$ DECLARE chosen int; BEGIN
       LOOP
         chosen := 1 + floor(random() * ${rows});
         UPDATE rows_of_text SET text = random()::text || substr(text, 20) WHERE id = chosen;
         COMMIT;
       END LOOP;
     END $$`,
};

function spread(name: string, values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${name.padEnd(12)} ${median(values).toFixed(1).padStart(8)}   ${low.toFixed(1)} to ${high.toFixed(1)}`;
}

const options = benchCommand(import.meta.filename, 'The page list of a running server.')
  .option('--gib <n>', "the server's pool", number(0.0625, 256), 1)
  .addOption(new Option('--dbms <name>', 'the server').choices(databaseSystems).default('mariadb'))
  .option('--node <path>', 'what runs the agent', process.execPath)
  .option('--idle', 'without load')
  .parse()
  .opts<{
    readonly gib: number;
    readonly dbms: DatabaseSystem;
    readonly node: string;
    readonly idle?: true;
    readonly json?: true;
  }>();
const { dbms } = options;
const kind = dbms === 'postgresql' ? dbms : 'innodb';
const log = (line: string): void => {
  console.error(line);
};
const poolBytes = options.gib * 2 ** 30;
/** Its tables have their place on the disk when it says that they are written. */
const serverOptions = kind === 'postgresql' ? ['-c', 'fsync=on'] : [];
const server = await ScratchServer.start({ dbms, poolBytes, options: serverOptions, log });
try {
  const rows = rowsFor(poolBytes);
  await fillers[kind](server, rows);
  const isIdle = options.idle === true;
  const load = isIdle ? undefined : server.startSql(churns[kind](rows));
  const bundle = await bundleAgent(log);
  const { stdout } = await promisify(execFile)(
    options.node,
    [
      ...[...agentStart.nodeOptions, bundle, '--summary', '--pid', String(server.pid)],
      ...['--repeat', String(rounds + warmUpRounds)],
    ],
    { env: { ...process.env, ...agentStart.environment } },
  );
  const answers = await requestThroughTerminal(options.node, bundle, rounds + warmUpRounds);
  load?.kill();
  const summaries = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Summary);
  const measured = summaries.slice(warmUpRounds);
  if (options.json === true) console.log(JSON.stringify({ dbms, poolBytes, idle: isIdle, summaries }));
  const last = measured.at(-1);
  if (last === undefined) throw new Error('the agent printed nothing');
  console.log(
    `${dbms} ${last.version}, pool of ${options.gib} GiB ${isIdle ? 'idle' : 'under load'}: ` +
      `${last.cachedPages} pages cached, ${last.dirtyPages} dirty, ` +
      `${last.excludedPages} excluded, ${last.pages} pages of 4 KiB listed by ${last.method}`,
  );
  console.log(
    `${last.listBytes} bytes, ${((last.listBytes * 4) / last.pages).toFixed(2)} for 16 KiB, ${last.runs} runs; ` +
      `at most ${Math.round(last.peakResidentBytes / 2 ** 20)} MiB resident`,
  );
  console.log('ms             median   lowest to highest');
  for (const phase of ['findMs', 'translateMs', 'mapMs', 'encodeMs'] as const)
    console.log(
      spread(
        phase.slice(0, -2),
        measured.map(({ timings }) => timings[phase]),
      ),
    );
  console.log(
    spread(
      'CPU',
      measured.map(({ cpuMs }) => cpuMs),
    ),
  );
  const endToEnd = answers.slice(warmUpRounds).map(({ timings }) => timings.totalMs);
  console.log(spread('end to end', endToEnd));
} finally {
  await server.stop();
}
