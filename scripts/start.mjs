// First thing every npm script calls: needs nothing but Node.js 18 and npm. Installs the node packages when they are
// missing, unfinished or out of date, then runs the named TypeScript program under the Node 24 that came with them.
//   node scripts/start.mjs PROGRAM.ts [arguments...]
import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { install, nodeOf } from './install.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [program, ...programArguments] = process.argv.slice(2);

const fail = (message) => {
  process.stderr.write(`poolshift: ${message}\n`);
  process.exit(1);
};

if (program === undefined) fail('usage: node scripts/start.mjs PROGRAM.ts [arguments...]');
if (Number(process.versions.node.split('.')[0]) < 18) {
  fail(
    `Node.js 18 or newer is needed to start (this is ${process.version}); on Debian: apt-get install nodejs npm`,
  );
}
if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  fail(`runs on Linux on x64 or arm64 only, this is ${process.platform} on ${process.arch}`);
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const interrupted = new AbortController();
const interrupt = (signal) => interrupted.abort(signal);
for (const signal of signals) process.on(signal, interrupt);
const say = (message) => process.stderr.write(`poolshift: ${message}\n`);
await install(root, say, interrupted.signal).catch((error) => {
  if (!interrupted.signal.aborted) fail(error.message);
});
for (const signal of signals) process.off(signal, interrupt);
if (interrupted.signal.aborted) {
  process.kill(process.pid, interrupted.signal.reason);
  // The signal ends this process before that.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  process.exit(1);
}
const node = nodeOf(root);

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
for (const signal of signals) process.on(signal, () => child.kill(signal));
child.on('error', (error) => fail(`could not start ${node}: ${error.message}`));
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
