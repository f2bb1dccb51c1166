/** How every command prints its help: for people, or as data for what completes command lines. */
import type { Command, Option } from 'commander';

/** Wider lines are hard to read, whatever the terminal. */
const maxWidth = 100;

/** A command as its help has it. */
export interface CommandHelp {
  readonly name: string;
  readonly options: readonly {
    /** "--scenario" */
    readonly long: string;
    readonly takesValue: boolean;
    /** All valid values, where they are few. */
    readonly choices: readonly string[];
  }[];
  readonly commands: readonly CommandHelp[];
}

/** Choices of options whose values are checked elsewhere than by commander. */
const choicesOfOption = new WeakMap<Option, readonly string[]>();

export function rememberChoices(option: Option, choices: readonly string[]): void {
  choicesOfOption.set(option, choices);
}

function describe(command: Command): CommandHelp {
  return {
    name: command.name(),
    options: command.options.map((option) => ({
      long: option.long ?? option.flags,
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? choicesOfOption.get(option) ?? [],
    })),
    commands: command.commands.map(describe),
  };
}

/** Set to `json`, `--help` prints a `CommandHelp` on its first line. */
export const helpFormatVariable = 'POOLSHIFT_HELP';

/** For commander's `configureHelp`; without a terminal the help is as wide as it may be. */
export const helpSettings = {
  helpWidth: Math.min(process.stdout.isTTY ? process.stdout.columns : maxWidth, maxWidth),
  minWidthToWrap: 20,
  ...(process.env[helpFormatVariable] === 'json'
    ? { formatHelp: (command: Command) => `${JSON.stringify(describe(command))}\n` }
    : {}),
};

/**
 * For a program that has no options: prints its usage and ends it when it is given any argument, with 0 if that asks for help and else
 * with 2.
 */
export function refuseArguments(usage: string, given: readonly string[] = process.argv.slice(2)): void {
  const [first] = given;
  if (first === undefined) return;
  const isHelp = first === '--help' || first === '-h';
  (isHelp ? console.log : console.error)(
    isHelp ? usage : `it takes no arguments, not ${JSON.stringify(first)}\n${usage}`,
  );
  process.exit(isHelp ? 0 : 2);
}
