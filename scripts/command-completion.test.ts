/** Completion in a real bash, from the help of every command. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { bashCompletion, helpOf, scriptsWithoutOptions } from './command-completion.ts';

const root = path.join(import.meta.dirname, '..');

test('npm scripts, their commands, options and values are completed, and other words are left to npm', async (t) => {
  const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  const helps = await helpOf(root, scripts);
  t.deepEqual([...helps.keys(), ...scriptsWithoutOptions].sort(), Object.keys(scripts).sort());
  const completion = bashCompletion(Object.keys(scripts), helps);
  /** What TAB offers after the words, of which the last may be empty. */
  const offered = async (cwd: string, ...words: readonly string[]): Promise<string[]> => {
    const script = `_npm_own() { COMPREPLY=(npm-own); }; complete -F _npm_own npm
      ${completion}
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _poolshift npm "\${!#}"; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await execa('bash', ['-c', script, 'bash', 'npm', ...words], { cwd });
    return stdout.split('\n');
  };
  t.deepEqual(await offered(root, 'run', 'exp'), ['experiment']);
  t.deepEqual(await offered(root, 'run', 'experiment', ''), ['--']);
  t.deepEqual(await offered(root, 'run', '-s', 'experiment', '--', '--scen'), ['--scenario']);
  t.deepEqual(await offered(root, 'run', 'experiment', '--', '--scenario', 'r'), ['ro', 'rw']);
  // Choices that stand in the description, since there are many.
  t.deepEqual(await offered(root, 'run', 'experiment', '--', '--engine', 'bal'), ['balance']);
  t.deepEqual(await offered(root, 'run', 'lab', '--', 'st'), ['status']);
  t.deepEqual(await offered(root, 'run', 'lab', '--', 'up', '--storage'), ['--storage-rate']);
  t.true((await offered(root, 'run', 'engine', '--', 'source', '--')).includes('--listen'));
  t.deepEqual(await offered(root, 'run', 'report', '--', '--lang', ''), ['en', 'ja']);
  t.deepEqual(await offered(root, 'run', 'report', '--', 'results/REA'), ['results/README.md']);
  t.deepEqual(await offered(root, 'install', ''), ['npm-own']);
  t.deepEqual(await offered('/', 'run', 'exp'), ['npm-own']);
});

test('scripts without options have a usage, too, and do nothing else when asked for it', async (t) => {
  const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  for (const name of scriptsWithoutOptions) {
    const program = scripts[name]?.split(' ').slice(2) ?? [];
    const { stdout, stderr } = await execa(process.execPath, [...program.slice(0, 1), '--help'], {
      cwd: root,
      timeout: 600_000,
    });
    t.regex(stdout + stderr, /^usage: /, name);
  }
});
