/**
 * `npm run bench -- NAME [options]`: benchmarks, apart from the tests, since no test may depend on a time. Without a name,
 * says which there are. Each takes --json.
 */
import { execa } from 'execa';
import path from 'node:path';

const benches: Readonly<Record<string, string>> = {
  stream: "the engine's filter over QEMU's stream: relay, leave out 70 % of the pages, hash them too",
  hash: 'the keyed hash of pages against XXH64: --rounds N',
  wire: 'the connection between the engines over loopback, without TLS and with it',
  memory: "the source engine's memory for large VMs: --gib N, repeatable (default 16, 64 and 128)",
  agent: 'the page list of a running server: --gib N, --dbms mariadb|mysql, --node PATH, --idle',
};

const [name = '', ...options] = process.argv.slice(2);
if (benches[name] === undefined) {
  const lines = Object.entries(benches).map(([known, what]) => `  ${known.padEnd(8)} ${what}`);
  console.log(`usage: npm run bench -- NAME [options]\n${lines.join('\n')}`);
  process.exitCode = name === '' || name === '--help' ? 0 : 2;
} else {
  const { exitCode } = await execa(
    process.execPath,
    [path.join(import.meta.dirname, `${name}.bench.ts`), ...options],
    {
      stdio: 'inherit',
      reject: false,
    },
  );
  process.exitCode = exitCode ?? 1;
}
