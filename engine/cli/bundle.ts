/** The engine as one file, for hosts that have Node 24 and nothing else: `node engine/cli/bundle.ts OUT.mjs`. */
import { chmod } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';

/** Writes the bundle to `outfile`. */
export async function bundleEngine(outfile: string): Promise<void> {
  await bundleForHosts(path.join(import.meta.dirname, 'main.ts'), outfile);
}

/** Makes one executable file of a program that has all of Node 24. */
export async function bundleForHosts(entryPoint: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entryPoint],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    banner: {
      // commander is CommonJS and asks for Node's modules by require.
      js: [
        '#!/usr/bin/env node',
        "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
      ].join('\n'),
    },
    logLevel: 'silent',
  });
  await chmod(outfile, 0o755);
}

if (import.meta.main) {
  const outfile = process.argv[2];
  if (outfile === undefined) throw new Error('usage: node engine/cli/bundle.ts OUT.mjs');
  await bundleEngine(outfile);
}
