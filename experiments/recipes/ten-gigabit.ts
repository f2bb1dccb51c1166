import type { Recipe } from '../recipe.ts';
import { oneGigabit } from './one-gigabit.ts';

export const tenGigabit: Recipe = {
  ...oneGigabit,
  name: 'ten-gigabit',
  title: 'Links of 10 Gbit/s',
  paperClaims: 'links of 10 Gbit/s',
  conditions: { ...oneGigabit.conditions, linkRate: '10gbit' },
};
