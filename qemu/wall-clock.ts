/** What KVM writes into a guest's memory by itself while QEMU loads a target's state: it is no difference that a migration made. */

/** Where the bytes of two copies of a page differ: [first, last]; undefined where they are the same. */
export function differingBytes(a: Buffer, b: Buffer): readonly [first: number, last: number] | undefined {
  const first = a.findIndex((byte, at) => byte !== b[at]);
  return first === -1 ? undefined : [first, a.findLastIndex((byte, at) => byte !== b[at])];
}

/** struct pvclock_wall_clock (Linux, arch/x86/include/asm/pvclock-abi.h): version, seconds and nanoseconds, each a u32. */
const clockBytes = 12;
/** Each virtual CPU whose registers are loaded raises the version by two; more than these no machine has. */
const maxVersions = 2 * 8192;

/**
 * Whether the copies of a page differ in the guest's wall clock alone. When QEMU loads the register that says where the clock is
 * (MSR_KVM_WALL_CLOCK_NEW, saved with each CPU), KVM writes the clock anew: a higher, even version and the time at which the
 * guest's own clock was 0 (Linux, arch/x86/kvm/x86.c, kvm_write_wall_clock). So it is with every migration under KVM.
 * @param source as the source left it
 * @param target as it was before the guest ran again
 */
export function isWallClockAlone(source: Buffer, target: Buffer): boolean {
  const [first = 0, last = source.length] = differingBytes(source, target) ?? [];
  const at = first - (first % 4);
  if (last >= at + clockBytes || at + clockBytes > source.length) return false;
  const [before, after] = [source.readUInt32LE(at), target.readUInt32LE(at)];
  const versions = (after - before) >>> 0;
  const isClock = (page: Buffer, version: number): boolean =>
    version % 2 === 0 && page.readUInt32LE(at + 8) < 1e9;
  return versions > 0 && versions <= maxVersions && isClock(source, before) && isClock(target, after);
}
