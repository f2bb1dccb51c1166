/** `poolshift status`: the migrations that this host knows. */
import { z } from 'zod';
import type { OperatedHost } from './host.ts';
import { migrationsFolder } from './launch.ts';
import { starterSchema } from './starter.ts';

const recordSchema = z.looseObject({
  id: z.string(),
  vm: z.string(),
  role: z.enum(['source', 'destination']),
  source: z.string(),
  destination: z.string(),
  method: z.string(),
  startedAt: z.string(),
  starter: starterSchema.optional(),
});

const endSchema = z.looseObject({ outcome: z.string(), endedAt: z.string() });

interface KnownMigration extends z.infer<typeof recordSchema> {
  /** What came of it; undefined while nobody has said so. */
  readonly end: z.infer<typeof endSchema> | undefined;
  /** Whether an engine of it runs on this host. */
  readonly engineRuns: boolean;
  /** Whether QEMU's stream has come to its engine. */
  readonly hasBegun: boolean;
  /** Name of the engine's last event; empty where there was no engine. */
  readonly lastEvent: string;
}

const script = `cd ${migrationsFolder} 2> /dev/null || exit 0
for folder in */; do
  for role in source destination; do
    [ -e "$folder$role.json" ] || continue
    pid=$(cat "$folder$role.pid" 2> /dev/null) && tr '\\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF -- "\${folder%/}" && runs=true || runs=false
    grep -q '"event":"qemu-connected"' "$folder$role.events" 2> /dev/null && begun=true || begun=false
    printf '%s\\t%s\\t%s\\t%s\\t%s\\n' "$(cat "$folder$role.json")" "$runs" "$begun" "$(cat "$folder/end" 2> /dev/null)" "$(grep -v '"event":"progress"' "$folder$role.events" 2> /dev/null | tail -n 1)"
  done
done`;

/** @throws CodedError 'host' */
export async function knownMigrations(host: OperatedHost): Promise<readonly KnownMigration[]> {
  return parseStatus(await host.run(script));
}

/** What the script prints. Newest first. Pure. */
export function parseStatus(text: string): readonly KnownMigration[] {
  const migrations = text.split('\n').flatMap((line): KnownMigration[] => {
    const [record = '', runs, begun, end = '', last = ''] = line.split('\t');
    const parsed = recordSchema.safeParse(json(record));
    if (!parsed.success) return [];
    const ended = endSchema.safeParse(json(end));
    const event = z.looseObject({ event: z.string() }).safeParse(json(last));
    return [
      {
        ...parsed.data,
        end: ended.success ? ended.data : undefined,
        engineRuns: runs === 'true',
        hasBegun: begun === 'true',
        lastEvent: event.success ? event.data.event : '',
      },
    ];
  });
  return migrations.sort((left, right) => right.startedAt.localeCompare(left.startedAt));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One line for each. */
export function statusLines(migrations: readonly KnownMigration[]): readonly string[] {
  if (migrations.length === 0) return ['this host knows no migrations'];
  return migrations.map(
    ({ id, vm, role, source, destination, method, startedAt, end, engineRuns, lastEvent }) => {
      const state =
        end?.outcome ??
        (engineRuns
          ? `goes on, its engine's last word: ${lastEvent}`
          : method === 'plain'
            ? 'goes on, or nobody has told how it ended: virsh domjobinfo says'
            : `nobody has told how it ended, its engine's last word: ${lastEvent === '' ? 'none' : lastEvent}`);
      return `${startedAt}  ${id}  ${vm} from ${source} to ${destination} by ${method}, here the ${role}: ${state}`;
    },
  );
}
