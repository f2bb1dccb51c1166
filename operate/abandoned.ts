/** Migrations of a command that was killed before they began: its engines would wait for them. */
import type { OperatedHost, WaitListener } from './host.ts';
import { endingScript, endScript } from './launch.ts';
import { isGone } from './starter.ts';
import { knownMigrations } from './status.ts';

/** Before the commit an engine ends when it is asked to, so that at worst a migration of this VM that begins just now is cancelled. */
export async function endAbandoned(
  hosts: readonly OperatedHost[],
  vm: string,
  listener: WaitListener,
): Promise<void> {
  for (const host of hosts)
    for (const known of await knownMigrations(host)) {
      const { id, role, method, starter, end, engineRuns, hasBegun } = known;
      // Without engines nobody here sees whether it has begun.
      if (known.vm !== vm || method === 'plain' || end !== undefined || hasBegun) continue;
      if (starter === undefined || !isGone(starter)) continue;
      const what = `migration ${id} of ${vm}: the command that has started it was ended before it began`;
      if (engineRuns) {
        listener.note(`${what}; its ${role} engine on ${host.name} is ended`);
        await host.run(endingScript(id, role));
      }
      const words = JSON.stringify({ outcome: 'cancelled', endedAt: new Date().toISOString() });
      await host.run(endScript(id, words, what));
    }
}
