/**
 * The write ledger: commits numbered rows and keeps each acknowledged number on this host's own disk. Afterwards every
 * number in the file has to be in the database (harness/workload/ledger-check.ts).
 */
import { open, type FileHandle } from 'node:fs/promises';
import { startPacedLoop } from './paced-loop.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { SqlSession } from './sql-session.ts';
import { nowMs } from './wall-clock.ts';

const setUp = {
  mysql: [
    'CREATE DATABASE IF NOT EXISTS poolshift',
    'CREATE TABLE IF NOT EXISTS poolshift.ledger (number BIGINT PRIMARY KEY, sent_ms DOUBLE NOT NULL) ENGINE=InnoDB',
  ],
  postgresql: [
    'CREATE SCHEMA IF NOT EXISTS poolshift',
    'CREATE TABLE IF NOT EXISTS poolshift.ledger (number BIGINT PRIMARY KEY, sent_ms DOUBLE PRECISION NOT NULL)',
  ],
};

export function startLedger(config: Extract<ProbeConfig, { probe: 'ledger' }>, emit: Emit): Probe {
  const session = new SqlSession(config.server, (state, detail) => {
    emit({ report: 'connection', at: nowMs(), probe: 'ledger', state, detail });
  });
  let file: FileHandle | undefined;
  let next: number | undefined;
  let acknowledged = 0;
  let unknown = 0;

  /** Tables as they should be, and the first number that is free: the disk may have been used before. */
  const begin = async (): Promise<number> => {
    for (const statement of setUp[config.server.protocol]) await session.query(statement);
    const rows = await session.query('SELECT COALESCE(MAX(number), 0) + 1 AS next FROM poolshift.ledger');
    return Number(rows[0]?.['next']);
  };

  const commitOne = async (): Promise<void> => {
    file ??= await open(config.file, 'w');
    const number = (next ??= await begin());
    await session.connect();
    // Never the same number again: after a lost connection nobody knows whether the row was committed.
    next += 1;
    try {
      await session.query(`INSERT INTO poolshift.ledger VALUES (${number}, ${nowMs()})`);
    } catch (error) {
      unknown += 1;
      await file.write(`${number} unknown\n`);
      throw error;
    }
    await file.write(`${number}\n`);
    await file.datasync();
    acknowledged += 1;
  };

  const reportCounts = (): void => {
    emit({ report: 'ledger', at: nowMs(), acknowledged, unknown });
  };
  const timer = setInterval(reportCounts, 1000);
  const loop = startPacedLoop(1000 / (config.ratePerSecond ?? 10), commitOne);

  return {
    stop: async () => {
      clearInterval(timer);
      // Lets the commit under way be acknowledged, unless the server is gone.
      const giveUp = setTimeout(() => {
        session.close();
      }, 2000);
      await loop.stop();
      clearTimeout(giveUp);
      session.close();
      await file?.close();
      reportCounts();
    },
  };
}
