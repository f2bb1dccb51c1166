// First thing every npm script calls: needs nothing but Node.js 18 and npm. Installs the node packages when they are
// missing or out of date, then runs the named TypeScript program under the Node 24 that came with them.
//   node setup/start.mjs PROGRAM.ts [arguments...]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [program, ...programArguments] = process.argv.slice(2);

const fail = (message) => {
  process.stderr.write(`poolshift: ${message}\n`);
  process.exit(1);
};

if (program === undefined) fail('usage: node setup/start.mjs PROGRAM.ts [arguments...]');
if (Number(process.versions.node.split('.')[0]) < 18) {
  fail(
    `Node.js 18 or newer is needed to start (this is ${process.version}); on Debian: apt-get install nodejs npm`,
  );
}
if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  fail(`runs on Linux on x64 or arm64 only, this is ${process.platform} on ${process.arch}`);
}

const lock = readFileSync(path.join(root, 'package-lock.json'));
const wanted = createHash('sha256').update(lock).update(process.arch).digest('hex');
const stamp = path.join(root, 'node_modules', '.poolshift-installed');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
if (installed !== wanted) {
  const count = Object.keys(JSON.parse(lock.toString()).packages).length - 1;
  process.stderr.write(
    `poolshift: installing up to ${count} node packages with npm ci (no install scripts)\n`,
  );
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.error) fail(`npm could not be started (${npm.error.message}); on Debian: apt-get install npm`);
  if (npm.status !== 0) fail(`npm ci failed with exit code ${npm.status}; its output is above`);
  writeFileSync(stamp, wanted);
}

const node = path.join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
if (!existsSync(node)) fail(`${node} is missing; remove node_modules and run this again`);

// If this process is killed, even with -9, the program gets SIGTERM and tears down what it has set up.
const child = spawn(
  'setpriv',
  ['--pdeathsig', 'TERM', node, path.resolve(root, program), ...programArguments],
  {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${path.dirname(node)}:${process.env.PATH ?? ''}` },
  },
);
// A Ctrl-C in a terminal reaches both processes; the program ignores the second of two signals in quick succession.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => fail(`could not start ${node}: ${error.message}`));
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
