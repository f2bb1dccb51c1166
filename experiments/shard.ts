/** A part of a matrix that runs on one pair of hosts, beside other parts on other pairs. Pure. */
import { z } from 'zod';

export interface Shard {
  /** 1 for the first. */
  readonly index: number;
  /** How many parts there are. */
  readonly count: number;
}

const maxShards = 1000;

/** "2/5" is the second of five parts. */
export const shardOption = z.string().transform((text, context): Shard => {
  const match = /^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (!(index <= count && count <= maxShards)) {
    context.addIssue({
      code: 'custom',
      message: `a part and the number of parts are needed, such as 2/5: from 1/N to N/N, N up to ${maxShards}`,
    });
    return z.NEVER;
  }
  return { index, count };
});

/** Name of a pair of hosts, as it goes into manifests and file names. */
export const pairOption = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,63}$/, 'letters, digits, and ._- after the first are needed, up to 64');

export const shardName = ({ index, count }: Shard): string => `${index}/${count}`;

/**
 * Which blocks a shard runs. A block holds the runs that are compared with each other, so it is never split. Blocks are
 * dealt out in turn; where that would give all repeats of a combination to the same shard, each repeat starts one shard
 * further on.
 * @param combinations how many blocks one repeat has
 */
export function shardBlocks<Block>(
  blocks: readonly Block[],
  combinations: number,
  { index, count }: Shard,
): readonly Block[] {
  const shift = combinations % count === 0 ? 1 : 0;
  return blocks.filter(
    (_, block) => (block + shift * Math.floor(block / combinations)) % count === index - 1,
  );
}
