/** What kind of image a disk's file is, from its first bytes: QEMU's docs/interop/qcow2.rst, and the signatures of other formats. */

/** Bytes from the start that are enough: qcow2 keeps its backing file's name in the first cluster, which QEMU makes of 64 KiB. */
export const imageHeaderBytes = 64 * 1024;

export interface BackingFile {
  /** As the image has it: a path, perhaps relative to the image's folder, or whatever QEMU would open. */
  readonly name: string;
  /** Undefined in images of before 2020 or so, which need not say it. */
  readonly format: string | undefined;
}

type ImageHeader =
  | { readonly format: 'raw' }
  | { readonly format: 'qcow2'; readonly backing: BackingFile | undefined }
  /** An image that is not read; `why` ends the sentence "PLACE is ...". */
  | { readonly format: 'unsupported'; readonly why: string };

const qcow2Magic = 0x514649fb;
/** Of a backing file's name, as QEMU has it. */
const maxNameBytes = 1023;
/** Where a header of version 2 ends, which does not say how long it is. */
const version2HeaderBytes = 72;
const extension = { end: 0, backingFormat: 0xe2792aca } as const;
/** Incompatible features: the guest's data lies in another file. */
const externalDataFile = 1n << 2n;

const otherFormats: readonly (readonly [at: number, signature: string, name: string])[] = [
  [0, 'KDMV', 'a VMDK image'],
  [0, '# Disk DescriptorFile', 'the descriptor of a VMDK image'],
  [0, 'vhdxfile', 'a VHDX image'],
  [0, 'conectix', 'a VHD image'],
  [0, 'QED\0', 'a QED image'],
  [0, 'WithoutFreeSpace', 'a Parallels image'],
  [0, 'WithouFreSpacExt', 'a Parallels image'],
  // Or the guest has encrypted all of its disk, and then lists none of its pages.
  [0, 'LUKS\xba\xbe', 'an image encrypted with LUKS'],
  [0x40, '\x7f\x10\xda\xbe', 'a VDI image'],
];

/** @param bytes the first `imageHeaderBytes`, or all there are */
export function readImageHeader(bytes: Buffer): ImageHeader {
  const other = otherFormats.find(
    ([at, signature]) => bytes.toString('latin1', at, at + signature.length) === signature,
  );
  if (other !== undefined) return unsupported(`${other[2]}: only raw and qcow2 are read`);
  if (bytes.length < version2HeaderBytes || bytes.readUInt32BE(0) !== qcow2Magic) return { format: 'raw' };
  return readQcow2Header(bytes);
}

function readQcow2Header(bytes: Buffer): ImageHeader {
  const version = bytes.readUInt32BE(4);
  if (version !== 2 && version !== 3)
    return unsupported(`a QCOW image of version ${version}: 2 and 3 are read`);
  const encryption = bytes.readUInt32BE(32);
  if (encryption !== 0)
    return unsupported(`an encrypted qcow2 image (${encryption === 2 ? 'LUKS' : 'AES'}), which is not read`);
  if (version === 3 && bytes.length < 104) return unsupported('a qcow2 image that is cut off');
  if (version === 3 && (bytes.readBigUInt64BE(72) & externalDataFile) !== 0n)
    return unsupported('a qcow2 image with an external data file, which is not read');
  const nameAt = bytes.readBigUInt64BE(8);
  const nameBytes = bytes.readUInt32BE(16);
  if (nameAt === 0n || nameBytes === 0) return { format: 'qcow2', backing: undefined };
  const nameEnd = nameAt + BigInt(nameBytes);
  if (nameEnd > BigInt(bytes.length) || nameBytes > maxNameBytes)
    return unsupported("a qcow2 image whose backing file's name is not in its header");
  const name = bytes.toString('utf8', Number(nameAt), Number(nameEnd));
  if (name.includes('\0')) return unsupported("a qcow2 image whose backing file's name is cut off");
  const extensionsAt = version === 2 ? version2HeaderBytes : bytes.readUInt32BE(100);
  return { format: 'qcow2', backing: { name, format: backingFormat(bytes, extensionsAt) } };
}

/** Walks the header's extensions: type32, length32, data padded to a multiple of 8. */
function backingFormat(bytes: Buffer, extensionsAt: number): string | undefined {
  for (let at = extensionsAt; at + 8 <= bytes.length;) {
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    if (type === extension.end) return undefined;
    if (type === extension.backingFormat) return bytes.toString('utf8', at + 8, at + 8 + length);
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return undefined;
}

function unsupported(why: string): ImageHeader {
  return { format: 'unsupported', why };
}
