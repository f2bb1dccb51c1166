/**
 * Constants of QEMU's migration stream, pre-copy, as written by QEMU 7.2 to 11 (docs/stream-format.md). All numbers in
 * the stream are big-endian (migration/qemu-file.c).
 */

/** "QEVM" (migration/savevm.h, QEMU_VM_FILE_MAGIC). */
export const streamMagic = 0x5145564d;
/** migration/savevm.h, QEMU_VM_FILE_VERSION. */
export const streamVersion = 3;
/** First four bytes of each further multifd connection (migration/multifd.c, MULTIFD_MAGIC). */
export const multifdMagic = 0x11223344;
/** TLS handshake record, first byte, followed by the major version 3 (RFC 8446, 5.1). */
export const tlsHandshake = 0x16;

/** Bytes that may stand where a section starts (migration/savevm.h, QEMU_VM_...). */
export const sectionType = {
  endOfFile: 0x00,
  /** First part of an iterable section: id32, u8 length + idstr, instance32, version32, data. */
  start: 0x01,
  /** Further part of a started section: id32, data. */
  part: 0x02,
  /** Last part of a started section: id32, data. */
  end: 0x03,
  /** Whole section of a device that is not iterable; its data carries no length. Same header as `start`. */
  full: 0x04,
  subsection: 0x05,
  /** JSON description of the device state, for debuggers: u32 length + text. */
  description: 0x06,
  configuration: 0x07,
  /** command16, length16, data. */
  command: 0x08,
  /** Closes every section: id32. */
  footer: 0x7e,
} as const;

/** migration/savevm.c, enum qemu_vm_cmd. */
export const streamCommand = {
  openReturnPath: 1,
  ping: 2,
  postcopyAdvise: 3,
  postcopyListen: 4,
  postcopyRun: 5,
  postcopyRamDiscard: 6,
  packaged: 7,
  enableColo: 8,
  postcopyResume: 9,
  receivedBitmap: 10,
  /** QEMU 10.0 on: sent right before RAM's END. */
  switchoverStart: 11,
} as const;

/** Data of POSTCOPY_ADVISE where RAM may be sent later, and of PACKAGED, whose package follows it (migration/savevm.c). */
export const adviseBytes = 16;
export const packageLengthBytes = 4;
/** A package holds all device state; QEMU takes no larger one (migration/savevm.c, MAX_VM_CMD_PACKAGED_SIZE). */
export const maxPackageBytes = 32 * 1024 * 1024;
/** Data of a RAM_DISCARD: 00, u8 length + block name, 00, up to twelve ranges (migration/savevm.c, ram_discard_max). */
export const maxDiscardBytes = 3 + 255 + 12 * 16;

/** Name and version of the section that carries guest memory (migration/ram.c, ram_mig_init). */
export const ramSectionName = 'ram';
export const ramSectionVersion = 4;

/** Name and version of the section of disks' dirty bitmaps (migration/block-dirty-bitmap.c, dirty_bitmap_mig_init). */
export const bitmapSectionName = 'dirty-bitmap';
export const bitmapSectionVersion = 1;

/** Flags of its items (migration/block-dirty-bitmap.c, DIRTY_BITMAP_MIG_FLAG_...). */
export const bitmapFlag = { endOfSection: 0x01, bitmapName: 0x04, diskName: 0x08, start: 0x10 } as const;

/**
 * Flags of a RAM record: the low twelve bits of its first eight bytes, the rest is the page's offset in its RAM block
 * (migration/ram.c, RAM_SAVE_FLAG_...). Apart from `sameBlock` they exclude one another.
 */
export const ramFlag = {
  /** A page of zeros: one fill byte follows, always 0. */
  zero: 0x002,
  /** Total size instead of an offset; then (u8 length + name, size64) for each RAM block. */
  memorySize: 0x004,
  /** 4096 bytes of page follow. */
  page: 0x008,
  /** Last record of a section. */
  endOfSection: 0x010,
  /** The record is of the same RAM block as the one before it; without it u8 length + block name come first. */
  sameBlock: 0x020,
  /** What has changed of a page since QEMU sent it last; never in its first pass (migration/xbzrle.c). */
  xbzrle: 0x040,
  /** RDMA only. */
  hook: 0x080,
  /** `compress` capability, removed in QEMU 9.1. */
  compressedPage: 0x100,
  /** multifd, QEMU 8.1 on. */
  multifdFlush: 0x200,
} as const;

/** Bytes of an end-of-section record with the footer after it. QEMU may send them apart; this codec never does. */
export const sectionTailBytes = 8 + 5;

/** Header of a record that needs no block name. */
export const shortHeaderBytes = 8;

/** Of a page's difference, before its data: encoding8, which is 1, and length16 (migration/ram.c, load_xbzrle). */
export const deltaHeaderBytes = 3;
export const deltaEncoding = 1;

/** Header of a record with the longest block name: offset and flags, length, name. */
export const maxHeaderBytes = 8 + 1 + 255;

/** Messages of the return path, destination to source (migration/migration.c, enum mig_rp_message_type). */
export const returnPathMessage = {
  /** status32: 0 is success. */
  shut: 1,
  /** value32 of the ping. */
  pong: 2,
  /** start64, length32, u8 length + block name. */
  requestPagesOfBlock: 3,
  /** start64, length32, in the block of the request before. */
  requestPages: 4,
  /** u8 length + block name; then, outside of the message, which of its pages the target has (`ReceivedBitmap`). */
  receivedBitmap: 5,
  /** value32, `resumeAckValue`: the target goes on with a post-copy that had broken. */
  resumeAck: 6,
  /** The destination acknowledges the switchover (capability switchover-ack, QEMU 8.1 on). */
  switchoverAck: 7,
} as const;

/** migration/ram.c, RAMBLOCK_RECV_BITMAP_ENDING, and migration/migration.h, MIGRATION_RESUME_ACK_VALUE. */
export const receivedBitmapEnd = 0x0123_4567_89ab_cdefn;
export const resumeAckValue = 1;
