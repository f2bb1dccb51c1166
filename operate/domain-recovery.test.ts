import test from 'ava';
import { migrationOf } from './domain-recovery.ts';

test("what libvirt's reasons mean for a recovery", (t) => {
  t.is(migrationOf('post-copy failed'), 'postcopy-paused');
  t.is(migrationOf('post-copy'), 'postcopy-active');
  t.is(migrationOf('migrated'), 'completed');
  t.is(migrationOf('booted'), 'booted');
  t.is(migrationOf(''), 'none');
});
