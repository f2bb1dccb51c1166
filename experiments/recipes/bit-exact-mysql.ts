import type { Recipe } from '../recipe.ts';
import { bitExact } from './bit-exact.ts';

export const bitExactMysql: Recipe = {
  ...bitExact,
  name: 'bit-exact-mysql',
  title: 'Guest memory is exact: MySQL',
  conditions: { dbms: 'mysql', ...bitExact.conditions },
};
