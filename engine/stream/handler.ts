/** What the stream reader tells its user, and what it hands on. */

/** A RAM block of the VM, from the stream's MEM_SIZE record. Its index is its place in that record. */
export interface RamBlock {
  readonly index: number;
  /** Id of the memory backend, e.g. "ram0" or "pc.ram", else a device's name, e.g. "/rom@etc/acpi/tables". */
  readonly name: string;
  readonly lengthBytes: number;
  /** Pages of 4096 bytes. */
  readonly pageCount: number;
}

/** The configuration section at the start of a stream (migration/savevm.c, vmstate_configuration). */
export interface StreamConfiguration {
  /** E.g. "pc-q35-10.0". */
  readonly machine: string;
  /** The capabilities that QEMU lists here: only x-ignore-shared and mapped-ram, whatever else is on. */
  readonly capabilities: readonly string[];
  readonly uuid: string | undefined;
  /** Log2 of the target's page size where it is not the smallest of the architecture; never there for x86. */
  readonly targetPageBits: number | undefined;
}

/** Why a stream cannot be filtered; docs/stream-format.md says how each is detected. */
export type UnsupportedReason =
  | 'not-a-stream'
  | 'tls'
  | 'multifd'
  | 'compression'
  | 'rdma'
  | 'mapped-ram'
  | 'ignore-shared'
  | 'postcopy'
  | 'huge-pages'
  | 'dirty-bitmaps'
  | 'colo'
  | 'machine'
  | 'page-size'
  | 'early-device-state'
  | 'unknown-section'
  | 'unknown-record'
  | 'malformed';

export type SectionKind = 'start' | 'part' | 'end';

/**
 * Called by the reader in the order of the stream, synchronously. A buffer is valid only during the call.
 * Everything is optional: an absent `page` keeps every page.
 */
export interface StreamHandler {
  configuration?(configuration: StreamConfiguration): void;
  /** All RAM blocks; once, before the first page. */
  ramBlocks?(blocks: readonly RamBlock[]): void;
  /** A part of the RAM section begins. */
  ramSectionBegins?(kind: SectionKind): void;
  /** A part of the RAM section has ended, its end and footer have been handed on. After kind 'end' no page follows. */
  ramSectionEnds?(kind: SectionKind): void;
  /**
   * A page with content: the 4096 bytes at `offset` in `buffer`. Returns true to keep it in the stream, false to leave
   * it out. The first page of a stream is kept whatever is returned, so count on `pageLeftOut`. Called before anything of this record, and perhaps before the records just before it, is handed on.
   */
  page?(blockIndex: number, pageIndex: number, buffer: Buffer, offset: number): boolean;
  /**
   * The page that `page` just refused is left out, and everything before it has been handed on. Whatever is sent in its
   * stead (a marker) belongs between that and what follows.
   */
  pageLeftOut?(blockIndex: number, pageIndex: number): void;
  /** A page of zeros. Returns true to keep it, false to leave it out, which `pageLeftOut` tells. */
  zeroPage?(blockIndex: number, pageIndex: number): boolean;
  /**
   * A page as its difference from what QEMU has sent of it last (capability xbzrle); always kept: the receiver applies it to
   * what it has of the page.
   */
  pageDelta?(blockIndex: number, pageIndex: number): void;
  command?(command: number, lengthBytes: number): void;
  /** The target is to throw these pages away: they are sent when its VM runs (RAM_DISCARD). */
  discard?(blockIndex: number, pageIndex: number, pageCount: number): void;
  /** The package comes, which holds all device state: what follows is handed on without a look up to `packageEnds`. */
  packageBegins?(lengthBytes: number): void;
  /**
   * The package has been handed on: the target can run. Pages that follow are placed while it does, and none may come twice
   * without a discard in between (migration/postcopy-ram.c, postcopy_place_page).
   */
  packageEnds?(): void;
  /** The last byte of a stream that has become post-copy was handed on. */
  streamEnds?(): void;
  /**
   * Without the option `postcopy`: post-copy begins, all that follows is handed on without a look, and the target may run at any
   * moment. With `holdAtEnd` it was held before, as at RAM's END.
   */
  postcopyBegins?(): void;
  /** RAM is complete; all that follows is handed on without a look. */
  deviceState?(): void;
  /** With the option `becomesPostcopy`: bytes of what follows RAM at the end of pre-copy. They are not handed on. */
  endOfPrecopy?(buffer: Buffer, start: number, end: number): void;
  /**
   * The stream cannot be filtered. Nothing was left out so far; all that follows is handed on without a look, and no
   * page is reported any more. (If something was left out already, or `refuseUnsupported` is set, the reader throws a
   * CodedError 'stream' instead.)
   */
  unsupported?(reason: UnsupportedReason, detail: string): void;
}

/** Takes bytes to hand on: `buffer` from `start` to `end`. They are valid only during the call: copy or write them. */
export type StreamOutput = (buffer: Buffer, start: number, end: number) => void;

/** What was read so far. */
export interface StreamCounters {
  /** Bytes taken in. */
  bytes: number;
  /** Page records with content, left out or not. */
  pages: number;
  zeroPages: number;
  /** Records of differences. */
  pageDeltas: number;
  pagesLeftOut: number;
  /** Pages injected by the reader's owner. */
  pagesInjected: number;
  /** Parts of the RAM section that have ended. */
  ramSections: number;
}

/**
 * Where the reader stands.
 * - `header`: magic and configuration;
 * - `between-sections`: before RAM's END, a section or command comes next;
 * - `ram`: inside a part of the RAM section, at the start of a record;
 * - `command`: inside the data of a command;
 * - `package`: inside the package of a migration that becomes post-copy;
 * - `bitmaps`: inside a part of the section of dirty bitmaps;
 * - `held`: all of RAM was read but the end of its END section waits for `release`, or post-copy does;
 * - `device-state`: after RAM;
 * - `end-of-precopy`: after RAM, in a stream that is to become post-copy all the same;
 * - `ended`: after RAM, in a stream that has become post-copy;
 * - `pass-through`: the stream cannot be filtered, or has become post-copy without the option for it.
 */
export type StreamPosition =
  | 'header'
  | 'between-sections'
  | 'ram'
  | 'command'
  | 'package'
  | 'bitmaps'
  | 'held'
  | 'device-state'
  | 'end-of-precopy'
  | 'ended'
  | 'pass-through';
