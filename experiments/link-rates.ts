/** Configured rates of the three measured networks. Pure. */
import { megabitsPerSecond } from '../foundation/quantity.ts';

/** In bits per second. */
export interface LinkRates {
  readonly migration: number;
  readonly storage: number;
  readonly service: number;
}

/** "125 Mbit/s", or, where they differ, "migration 125 Mbit/s, storage 12.5 Mbit/s, service 125 Mbit/s". */
export function linkRatesText(rates: LinkRates): string {
  const { migration, storage, service } = rates;
  if (migration === storage && storage === service) return megabitsPerSecond(migration);
  return Object.entries({ migration, storage, service })
    .map(([network, rate]) => `${network} ${megabitsPerSecond(rate)}`)
    .join(', ');
}
