/** `poolshift` as one file, for machines that have Node 24: `node operate/bundle.ts OUT.mjs`. */
import path from 'node:path';
import { bundleForHosts } from '../engine/cli/bundle.ts';

const outfile = process.argv[2];
if (outfile === undefined) throw new Error('usage: node operate/bundle.ts OUT.mjs');
await bundleForHosts(path.join(import.meta.dirname, 'main.ts'), outfile);
