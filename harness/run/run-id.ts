import type { Configuration } from '../../experiments/configuration.ts';

/** "20261124-192300-mariadb-rw-16-precopy-r1": sorts by time, says what it is. */
export function runIdOf(configuration: Configuration, repeat: number, startedAt: Date): string {
  const time = startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const { scenario, paperRowGib, engine, dbms } = configuration;
  return `${time}-${dbms}-${scenario}-${paperRowGib}-${engine}-r${repeat}`;
}
