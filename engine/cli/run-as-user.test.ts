import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { makeFolderFor } from './run-as-user.ts';

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot(
  'folders that are made for a socket are the user’s, however many, and those that are there stay as they are',
  (t) => {
    const parent = mkdtempSync(path.join(tmpdir(), 'poolshift-user-'));
    t.teardown(() => {
      rmSync(parent, { recursive: true });
    });
    const user = { uid: 65_534, gid: 65_534 };
    makeFolderFor(user, path.join(parent, 'a/b/c/socket'));
    for (const made of ['a', 'a/b', 'a/b/c']) {
      const { uid, gid, mode } = statSync(path.join(parent, made));
      t.deepEqual([uid, gid, mode & 0o777], [65_534, 65_534, 0o700], made);
    }
    makeFolderFor({ uid: 1, gid: 1 }, path.join(parent, 'a/socket'));
    t.is(statSync(path.join(parent, 'a')).uid, 65_534);
    t.is(statSync(parent).uid, 0);
  },
);
