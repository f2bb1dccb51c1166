/** `npm run completion`: prints what makes bash complete `npm run NAME -- --option value` in this checkout. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { refuseArguments } from '../foundation/command-help.ts';
import { bashCompletion, helpOf } from './command-completion.ts';

refuseArguments('usage: source <(npm run -s completion)');
const root = path.join(import.meta.dirname, '..');
const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};
const helps = await helpOf(root, scripts);
process.stdout.write(bashCompletion(Object.keys(scripts), helps));
