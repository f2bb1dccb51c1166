/** Finds the pages in a server's memory: by the layout of its descriptors, known or found out, or frame by frame. */
import { Deadline } from '../deadline.ts';
import { GuestError } from '../guest-error.ts';
import type { Mapping, Memory } from '../process-memory.ts';
import { pagesDeadline } from '../search-memory.ts';
import { calibrate, type Calibration } from './calibration.ts';
import { findArrays } from './descriptor-arrays.ts';
import { isTrustworthy, verifyPages, walkDescriptors } from './descriptors.ts';
import { scanFrames } from './frame-scan.ts';
import { type BlockLayout, knownLayoutOf } from './layouts.ts';
import { findLruFields } from './lru-fields.ts';
import type { PoolPages } from './pool-pages.ts';
import type { ServerProcess } from './server-process.ts';
import { StoredPages } from './stored-pages.ts';
import type { TablespaceFile } from './tablespaces.ts';

type Server = Pick<ServerProcess, 'product' | 'version' | 'build'>;

/** Layouts of the servers that run: those of known versions, and those that were found out, by the program's build. */
export class ServerLayouts {
  readonly #usesKnown: boolean;
  readonly #found = new Map<string, BlockLayout>();

  /** @param usesKnown false: each server's layout is found out, as that of a version which is not known */
  constructor({ usesKnown = true }: { readonly usesKnown?: boolean } = {}) {
    this.#usesKnown = usesKnown;
  }

  of(server: Server): BlockLayout[] {
    const known = this.#usesKnown ? knownLayoutOf(server.product, server.version) : undefined;
    const found = this.#found.get(keyOf(server));
    return [known, found].filter((layout) => layout !== undefined);
  }

  remember(server: Server, layout: BlockLayout): void {
    this.#found.set(keyOf(server), layout);
  }

  forget(server: Server): void {
    this.#found.delete(keyOf(server));
  }
}

/** With the file, as a build id can be written into any. */
const keyOf = ({ build }: Server): string => `${build.file} ${build.id}`;

/** Whether a tablespace is known and holds its pages as they are in memory, by its id. */
function plainSpaces(tablespaces: readonly TablespaceFile[]): (spaceId: number) => boolean {
  const plain = tablespaces.filter(({ excluded }) => excluded === undefined);
  const spaceIds = new Set(plain.map(({ spaceId }) => spaceId));
  return (spaceId) => spaceIds.has(spaceId);
}

function withoutPlainText({ product, version }: Server, tablespaces: readonly TablespaceFile[]): string {
  const reasons = [...new Set(tablespaces.map(({ excluded }) => excluded))].join(', ');
  return tablespaces.length === 0
    ? `no tablespace of ${product} ${version} was found`
    : `no file of ${product} ${version} has its pages as they are in memory: ${tablespaces.length} tablespaces, ${reasons}`;
}

/** What is found out about the descriptors, without the layouts that are known or were found before. */
export function calibrateWithFiles(
  memory: Memory,
  areas: readonly Mapping[],
  pageSizeBytes: number,
  tablespaces: readonly TablespaceFile[],
): Calibration {
  const stored = new StoredPages(tablespaces);
  try {
    const found = calibrate(memory, areas, pageSizeBytes, {
      isPlain: plainSpaces(tablespaces),
      isStored: (spaceId, page, frame) => stored.has(spaceId, page, frame),
    });
    const { layout } = found;
    return layout === undefined ? found : { ...found, layout: withLru(memory, areas, layout, pageSizeBytes) };
  } finally {
    stored.close();
  }
}

/** The same where nothing is to be added: as long as a server evicts nothing there is nothing to find its LRU list by. */
function withLru(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSizeBytes: number,
): BlockLayout {
  if (layout.lru !== undefined) return layout;
  const lru = findLruFields(memory, areas, layout, pageSizeBytes);
  return lru === undefined ? layout : { ...layout, lru };
}

/**
 * Tries the layouts that there are, then to find one out. Where that fails, as on a server that has no dirty page to learn from,
 * it takes the frames with a header and a checksum that fit: those of the descriptors, or where these are not found either,
 * of all memory.
 *
 * @param deadline for all of it
 * @throws GuestError 'unknown-layout', 'unsupported-storage', 'too-slow'
 */
export function findInPool(
  memory: Memory,
  areas: readonly Mapping[],
  server: Server,
  pageSizeBytes: number,
  tablespaces: readonly TablespaceFile[],
  layouts = new ServerLayouts(),
  deadline = new Deadline(Infinity),
): { pages: PoolPages; method: 'descriptors' | 'scan' } {
  const isPlain = plainSpaces(tablespaces);
  // Its pages would be looked for in all of its memory, and none could be listed.
  if (!tablespaces.some(({ excluded }) => excluded === undefined))
    throw new GuestError('unsupported-storage', withoutPlainText(server, tablespaces));
  const pagesBy = (layout: BlockLayout): PoolPages | undefined => {
    const pages = walkDescriptors(memory, areas, layout, pageSizeBytes);
    if (!isTrustworthy(verifyPages(memory, pages, pageSizeBytes, isPlain))) return undefined;
    const whole = withLru(memory, areas, layout, pageSizeBytes);
    layouts.remember(server, whole);
    return whole === layout ? pages : walkDescriptors(memory, areas, whole, pageSizeBytes);
  };
  for (const layout of layouts.of(server)) {
    const pages = pagesBy(layout);
    if (pages !== undefined) return { pages, method: 'descriptors' };
  }
  layouts.forget(server);
  const { layout, shape } = calibrateWithFiles(memory, areas, pageSizeBytes, tablespaces);
  const found = layout === undefined ? undefined : pagesBy(layout);
  if (found !== undefined) return { pages: found, method: 'descriptors' };
  const frames = shape === undefined ? areas : framesOf(memory, areas, shape, pageSizeBytes);
  const pages = scanFrames(memory, frames, pageSizeBytes, isPlain, pagesDeadline(deadline));
  if (pages.count > 0) return { pages, method: 'scan' };
  if (pages.late > 0)
    throw new GuestError('too-slow', 'a scan of its memory finds no page in the time that there is for it');
  throw new GuestError(
    'unknown-layout',
    `no cached page was found in the memory of ${server.product} ${server.version}: its layout cannot be found out, ` +
      'and no frame has the header of a tablespace that was found, with a valid checksum',
  );
}

/** Memory of the frames that descriptors name. */
function framesOf(
  memory: Memory,
  areas: readonly Mapping[],
  shape: Parameters<typeof findArrays>[2],
  pageSizeBytes: number,
): Pick<Mapping, 'start' | 'end'>[] {
  return findArrays(memory, areas, shape, pageSizeBytes).map(({ firstFrame, count }) => ({
    start: firstFrame,
    end: firstFrame + count * pageSizeBytes,
  }));
}
