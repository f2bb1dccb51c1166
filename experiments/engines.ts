/** Ways to migrate. Each name is what `--engine` takes; docs/engine.md tells how they work. */
export const engineNames = ['precopy', 'restore'] as const;
export type EngineName = (typeof engineNames)[number];

export interface Engine {
  readonly title: string;
  /** Strategy of our engine, or undefined where QEMU migrates by itself. */
  readonly strategy: 'restore' | undefined;
}

export const engines: Readonly<Record<EngineName, Engine>> = {
  precopy: { title: 'stock QEMU pre-copy', strategy: undefined },
  restore: { title: 'cached pages come from shared storage', strategy: 'restore' },
};
