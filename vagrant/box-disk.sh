#!/bin/sh
# Writes a tree (box-root.sh) as a disk with one partition and a boot loader, without a loop device and mounts.
# Usage: box-disk.sh TREE DISK GIB. DISK, a qcow2, takes the space of what is in it, whatever its size.
set -eu
tree=$1 disk=$2 gib=$3
raw=$disk.raw
start=$((1024 * 1024))

truncate --size="${gib}G" "$raw"
echo "$((start / 512)),,L,*" | sfdisk --quiet "$raw"
# As few inodes as a machine with few large files needs, zeroed now: else each machine's kernel writes them all in its first minutes.
mke2fs -q -F -t ext4 -b 4096 -i 131072 -L poolshift-box -E offset=$start,lazy_itable_init=0,root_owner=0:0,discard \
  -d "$tree" "$raw" $(((gib * 1024 * 1024 * 1024 - start) / 4096))
# As grub-install does: the first stage in the boot sector, which loads the second from the sectors after it (grub-core/boot/i386/pc).
dd if="$tree/usr/lib/grub/i386-pc/boot.img" of="$raw" bs=440 count=1 conv=notrunc status=none
dd if="$tree/boot/core.img" of="$raw" bs=512 seek=1 conv=notrunc status=none
qemu-img convert -c -O qcow2 "$raw" "$disk"
rm "$raw"
