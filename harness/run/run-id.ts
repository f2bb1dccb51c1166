import type { Configuration } from '../../experiments/configuration.ts';

/** "20261124-192300-mariadb-rw-16-precopy-r1": sorts by time, says what it is. */
export function runIdOf(configuration: Configuration, repeat: number, startedAt: Date): string {
  const time = startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const { scenario, paperRowGib, engine, dbms } = configuration;
  return `${time}-${dbms}-${scenario}-${paperRowGib}-${engine}-r${repeat}`;
}

/** Of a matrix that was given no folder: "matrix-2026-11-24T192300.123". Two may be started within a second. */
export function setNameOf(startedAt: Date): string {
  return `matrix-${startedAt.toISOString().slice(0, 23).replaceAll(':', '')}`;
}
