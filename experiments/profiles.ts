/** A profile sets what the paper fixed: link rates, times, load. Options on the command line override each value. */
export const profileNames = ['lab', 'paper'] as const;
export type ProfileName = (typeof profileNames)[number];

interface Profile {
  readonly title: string;
  /** Memory and link rates are the paper's divided by this. */
  readonly scale: number;
  /** Seconds of load before the migrate command and after the migration. */
  readonly beforeSeconds: number;
  readonly afterSeconds: number;
  readonly threads: number;
  /** Transactions per second that sysbench aims at; 0 is as fast as it can. */
  readonly rateTps: number;
  /** A migration that has not completed after this is cancelled. */
  readonly maxTimeSeconds: number;
}

/** The paper's links: 1 Gbit/s each. */
export const paperLinkBitsPerSecond = 1_000_000_000;

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  lab: {
    title: 'the paper divided by 8, for one machine without virtualisation hardware',
    scale: 8,
    beforeSeconds: 30,
    afterSeconds: 60,
    threads: 2,
    rateTps: 8,
    maxTimeSeconds: 600,
  },
  paper: {
    title: 'the paper as it stands: 1 Gbit/s, 900 s of load, migration at 300 s',
    scale: 1,
    beforeSeconds: 300,
    afterSeconds: 600,
    threads: 8,
    rateTps: 0,
    maxTimeSeconds: 3600,
  },
};
