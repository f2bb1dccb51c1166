/** Turns a zod schema of options into a commander command: names, defaults and help come from the schema alone. */
import { Command, Option } from 'commander';
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';
import { helpSettings, rememberChoices } from '../../foundation/command-help.ts';

/** Exit codes of every command of the harness, shown by `--help`. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const exitCodeHelp = `
Exit codes: 0 done; 1 a run, check or step failed; 2 wrong option or value, or it does not fit this
machine; 130 stopped by Ctrl-C.`;

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Choices longer than this stand in the description, so that the help fits a terminal. */
const maxPlaceholder = 24;

/** One of the list that is given without an option's name. */
const operandName = (key: string): string => key.replace(/s$/, '').toUpperCase();

interface OptionShape {
  readonly key: string;
  readonly isFlag: boolean;
  readonly isList: boolean;
  /** May stand alone, or have a value. */
  readonly isOptionalValue: boolean;
  readonly choices: readonly string[] | undefined;
  readonly defaultText: string | undefined;
  readonly description: string;
}

function shapeOf(key: string, schema: z.ZodType): OptionShape {
  let inner: z.ZodType = schema;
  let defaultValue: unknown;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault) {
    if (inner instanceof z.ZodDefault) defaultValue = inner.def.defaultValue;
    inner = inner.unwrap() as z.ZodType;
  }
  const isList = inner instanceof z.ZodArray;
  if (inner instanceof z.ZodArray) inner = inner.element as z.ZodType;
  const isFlag = inner instanceof z.ZodBoolean;
  return {
    key,
    isFlag,
    isList,
    isOptionalValue: inner instanceof z.ZodUnion,
    choices: inner instanceof z.ZodEnum ? Object.values(inner.enum).map(String) : undefined,
    defaultText:
      isFlag || defaultValue === undefined ? undefined : [defaultValue].flat().map(String).join(' '),
    description: schema.description ?? '',
  };
}

function commandOf(
  name: string,
  summary: string,
  schema: z.ZodObject,
  operands: string | undefined,
): Command {
  const command = new Command(name)
    .description(summary)
    .addHelpText('after', exitCodeHelp)
    .configureHelp(helpSettings);
  command.exitOverride().configureOutput({ writeErr: () => undefined });
  for (const [key, field] of Object.entries(schema.shape)) {
    const shape = shapeOf(key, field as z.ZodType);
    if (key === operands) {
      const operand = `${operandName(key)}...`;
      command.argument(shape.defaultText === undefined ? `<${operand}>` : `[${operand}]`, shape.description);
      continue;
    }
    const choices = shape.choices?.join('|') ?? '';
    const isLong = choices.length > maxPlaceholder;
    const name =
      choices !== '' && !isLong ? choices : (kebab(key).split('-').at(-1)?.replace(/s$/, '') ?? key);
    const placeholder = shape.isFlag
      ? ''
      : shape.isOptionalValue
        ? ' [value]'
        : shape.isList
          ? ` <${name}...>`
          : ` <${name}>`;
    const suffix = [
      isLong ? `: ${shape.choices?.join(', ')}` : '',
      shape.defaultText === undefined ? '' : ` (default ${shape.defaultText})`,
    ].join('');
    const option = new Option(`--${kebab(key)}${placeholder}`, `${shape.description}${suffix}`);
    if (shape.choices !== undefined) rememberChoices(option, shape.choices);
    command.addOption(option);
  }
  return command;
}

/**
 * Parses `arguments_` by the schema. Prints help and returns undefined for `--help`.
 * @param operands the schema's list that is given without an option's name
 * @throws CodedError 'command', 'usage' that names the option, what was given and what is valid.
 */
export function parseOptions<Schema extends z.ZodObject>(
  name: string,
  summary: string,
  schema: Schema,
  arguments_: readonly string[],
  operands?: string & keyof Schema['shape'],
): z.infer<Schema> | undefined {
  const command = commandOf(name, summary, schema, operands);
  try {
    command.parse(arguments_, { from: 'user' });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'commander.helpDisplayed') return undefined;
    const known = Object.keys(schema.shape)
      .filter((key) => key !== operands)
      .map((key) => `--${kebab(key)}`);
    throw new CodedError(
      'command',
      'usage',
      code === 'commander.unknownOption' && known.length > 0
        ? `${message}\nvalid options: ${known.join(' ')}`
        : message,
      { cause: error },
    );
  }
  if (command.args.length > 0 && operands === undefined)
    throw new CodedError('command', 'usage', `unexpected argument '${command.args.join(' ')}'; see --help`);
  const given = operands === undefined ? command.opts() : { ...command.opts(), [operands]: command.args };
  // An empty variable of a shell: no number is meant by it, and zero would be one.
  const blank = Object.entries(given).find(([, value]) => [value].flat().some((one) => one === ''));
  if (blank !== undefined) {
    const [key] = blank;
    throw new CodedError(
      'command',
      'usage',
      `${key === operands ? operandName(key) : `--${kebab(key)}`}: an empty value was given`,
    );
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const key = String(issue.path[0]);
    const field = schema.shape[key] as z.ZodType | undefined;
    const value = (given as Record<string, unknown>)[key];
    const shown = value === undefined ? '' : ` ${JSON.stringify(value)}`;
    const choices = field === undefined ? undefined : shapeOf(key, field).choices;
    const valid =
      choices === undefined || issue.code === 'custom' ? issue.message : `valid: ${choices.join(', ')}`;
    return `${key === operands ? operandName(key) : `--${kebab(key)}`}${shown}: ${valid}`;
  });
  throw new CodedError('command', 'usage', problems.join('\n'));
}
