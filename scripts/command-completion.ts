/** Completion of the npm scripts' options, from the help of each. */
import { execa } from 'execa';
import { type CommandHelp, helpFormatVariable } from '../foundation/command-help.ts';

/** Scripts that take names of suites or benchmarks, or nothing: they have no options to complete, and no help to ask for. */
export const scriptsWithoutOptions: readonly string[] = [
  'bench',
  'completion',
  'lint',
  'packages',
  'test',
  'test:unit',
  'vagrant-box',
];

/** @returns by script @throws ExecaError, SyntaxError where a program does not print its help as data */
export async function helpOf(
  root: string,
  scripts: Readonly<Record<string, string>>,
): Promise<ReadonlyMap<string, CommandHelp>> {
  const wanted = Object.entries(scripts).filter(([name]) => !scriptsWithoutOptions.includes(name));
  return new Map(
    await Promise.all(
      wanted.map(async ([name, line]): Promise<[string, CommandHelp]> => {
        const program = line.split(' ').at(-1) ?? '';
        const { stdout } = await execa(process.execPath, [program, '--help'], {
          cwd: root,
          env: { [helpFormatVariable]: 'json' },
        });
        return [name, JSON.parse(stdout.split('\n')[0] ?? '') as CommandHelp];
      }),
    ),
  );
}

/** A command with the words that lead to it: "lab up". */
interface Place {
  readonly words: string;
  readonly help: CommandHelp;
}

const placesOf = (words: string, help: CommandHelp): Place[] => [
  { words, help },
  ...help.commands.flatMap((command) => placesOf(`${words} ${command.name}`, command)),
];

/** Inside double quotes of a `case` pattern, or a list of words: nothing in it is special to bash. */
function checked(word: string): string {
  if (!/^[\w./:+-]+$/.test(word)) throw new RangeError(`${JSON.stringify(word)} cannot be completed`);
  return word;
}

/** In bash: offers the words or values that may come at `$place`, after `$last`, or files. @param indent of its lines */
function offered(places: readonly Place[], indent: string): string {
  const words = places.map(({ words, help }) => {
    const known = [
      ...help.commands.map(({ name }) => name),
      ...help.options.map(({ long }) => long),
      '--help',
    ];
    return `  "${words}") words="${known.map(checked).join(' ')}" ;;`;
  });
  const values = places.flatMap(({ words, help }) =>
    help.options
      .filter(({ takesValue }) => takesValue)
      .map(({ long, choices }) => {
        const kind = choices.length === 0 ? 'files=yes' : `words="${choices.map(checked).join(' ')}"`;
        return `  "${words} ${checked(long)}") ${kind} ;;`;
      }),
  );
  return [
    'case $place in',
    ...words,
    'esac',
    'case "$place $last" in',
    ...values,
    'esac',
    'if [[ -n $files || -n $current && $current != -* && $words == --* ]]; then',
    '  compopt -o filenames 2> /dev/null',
    '  COMPREPLY=($(compgen -f -- "$current"))',
    'else',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    'fi',
  ]
    .map((line) => indent + line)
    .join('\n');
}

/** Of bash, for programs that are installed. */
export function programCompletion(helps: readonly CommandHelp[]): string {
  const places = helps.flatMap((help) => placesOf(help.name, help));
  const commands = helps.flatMap(({ name, commands }) =>
    commands.map((command) => `"${name} ${command.name}"`),
  );
  return `# Completion of Poolshift's programs for bash.
_poolshift_program() {
  local current=\${COMP_WORDS[COMP_CWORD]} word words= files= place=\${1##*/} last=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$place $word" in ${commands.join(' | ')}) place="$place $word" ;; esac
    last=$word
  done
${offered(places, '  ')}
}
complete -F _poolshift_program ${helps.map(({ name }) => checked(name)).join(' ')}
`;
}

/** Of bash: a function, and where it takes over from npm's own completion, which it leaves everything else. */
export function bashCompletion(scripts: readonly string[], helps: ReadonlyMap<string, CommandHelp>): string {
  const places = [...helps].flatMap(([script, help]) => placesOf(script, help));
  const subcommands = places
    .filter(({ help }) => help.commands.length > 0)
    .map(({ words, help }) => help.commands.map(({ name }) => `"${words} ${name}"`).join(' | '));
  return `# Completion of Poolshift's npm scripts for bash:  source <(npm run -s completion)
_poolshift_before=$(complete -p npm 2> /dev/null)
_poolshift() {
  local line=("\${COMP_WORDS[@]:1:COMP_CWORD-1}") current=\${COMP_WORDS[COMP_CWORD]} word words= files= place= last=
  COMPREPLY=()
  if [[ \${line[0]} == run || \${line[0]} == run-script ]] && grep -qs '"name": "poolshift"' package.json; then
    line=("\${line[@]:1}")
    for word in "\${line[@]}"; do
      case $word in -s | --silent | --) ;; *) place=\${place:-$word} ;; esac
    done
    if [[ -z $place ]]; then
      COMPREPLY=($(compgen -W "${scripts.map(checked).join(' ')}" -- "$current"))
      return
    fi
    if [[ " \${line[*]} " != *' -- '* ]]; then
      COMPREPLY=($(compgen -W "--" -- "$current"))
      return
    fi
    for word in "\${line[@]}"; do
      case "$place $word" in
${subcommands.length === 0 ? '' : `        ${subcommands.join(' | ')}) place="$place $word" ;;\n`}      esac
      last=$word
    done
${offered(places, '    ')}
    return
  fi
  [[ $_poolshift_before =~ -F\\ ([^ ]+) ]] && [[ \${BASH_REMATCH[1]} != _poolshift ]] && "\${BASH_REMATCH[1]}" "$@"
}
complete -F _poolshift npm
`;
}
