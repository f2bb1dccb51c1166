/** Every recipe, in the order of docs/results.md. */
import type { Recipe } from '../recipe.ts';
import { agedGuests } from './aged-guests.ts';
import { beyondTheLink } from './beyond-the-link.ts';
import { bitExact } from './bit-exact.ts';
import { bitExactMysql } from './bit-exact-mysql.ts';
import { compressionChoice } from './compression-choice.ts';
import { dirtyRate } from './dirty-rate.ts';
import { downtimePairs } from './downtime-pairs.ts';
import { earlyResume } from './early-resume.ts';
import { enginesRecipe } from './engines.ts';
import { everyMethod } from './every-method.ts';
import { farBeyondTheLink } from './far-beyond-the-link.ts';
import { fullSpeed } from './full-speed.ts';
import { migrationAtATenth } from './migration-at-a-tenth.ts';
import { oneGigabit } from './one-gigabit.ts';
import { paperMatrix } from './paper-matrix.ts';
import { restart } from './restart.ts';
import { restoreRepeats } from './restore-repeats.ts';
import { rivals } from './rivals.ts';
import { smoke } from './smoke.ts';
import { storageAtATenth } from './storage-at-a-tenth.ts';
import { switchPoint } from './switch-point.ts';
import { tenGigabit } from './ten-gigabit.ts';
import { twoVms } from './two-vms.ts';
import { vagrant } from './vagrant.ts';

export const recipes: readonly Recipe[] = [
  enginesRecipe,
  fullSpeed,
  compressionChoice,
  everyMethod,
  earlyResume,
  switchPoint,
  restart,
  rivals,
  paperMatrix,
  restoreRepeats,
  downtimePairs,
  agedGuests,
  dirtyRate,
  beyondTheLink,
  farBeyondTheLink,
  storageAtATenth,
  migrationAtATenth,
  oneGigabit,
  tenGigabit,
  twoVms,
  bitExact,
  bitExactMysql,
  smoke,
  vagrant,
];
