#!/bin/busybox sh
# shellcheck shell=dash
# First program of the guest of storage-stack.lab.test.ts, in place of the image's: file systems and volumes as people have them, files
# on them, and what the agent says of these. A layer that cannot be made shows in its file, which is not there.
export PATH=/usr/sbin:/sbin:/usr/bin:/bin
for each in mkdir modprobe mount cat dd sync poweroff sleep printf cut losetup; do eval "$each() { /bin/busybox $each \"\$@\"; }"; done
exec > /dev/console 2>&1
for module in dm-mod dm-crypt dm-snapshot dm-thin-pool dm-raid raid1 raid456 loop overlay xfs btrfs; do modprobe $module; done

number_of() { cat "/sys/class/block/$1/dev"; }
# NAME TABLE UUID; device_of: /dev/dm-N of a name, as no udev makes another.
volume() { printf '%b\n' "$2" | dmsetup create "$1" --noudevsync --uuid "$3"; }
device_of() { dmsetup info -c --noheadings -o blkdevname "$1" | cut -d ' ' -f 1 | { read -r name; echo "/dev/$name"; }; }
# DEVICE NAME TYPE [OPTIONS OF MKFS]: a file system at /run/NAME with a file of 6 MiB.
file_on() {
  device=$1 name=$2 type=$3
  shift 3
  mkdir -p "/run/$name"
  "mkfs.$type" "$@" "$device" > /dev/null && mount -t "$type" "$device" "/run/$name" && random_file "/run/$name/file" 6
}
random_file() { dd if=/dev/urandom "of=$1" bs=1M "count=$2" 2> /dev/null; }

part=$(number_of vdb1)
disk=$(number_of vdc)
# A volume of two pieces, one in stripes, and an encrypted one.
volume linear "0 20480 linear $part 2048\n20480 20480 linear $disk 4096" LVM-linear
volume striped "0 65536 striped 2 128 $part 24576 $disk 32768" LVM-striped
volume crypt "0 20480 crypt aes-xts-plain64 $(printf 'a1%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32) 0 $disk 81920" CRYPT-PLAIN-x
for name in linear striped crypt; do file_on "$(device_of $name)" $name ext4 -q -b 4096; done

# As in a container: a file of its image, and one that was written.
mkdir -p /run/linear/lower /run/linear/upper /run/linear/work /run/merged
echo image > /run/linear/lower/image
mount -t overlay -o lowerdir=/run/linear/lower,upperdir=/run/linear/upper,workdir=/run/linear/work overlay /run/merged
random_file /run/merged/file 2

# A snapshot, as LVM builds it, and what it is of; both are written to after it was taken.
disk=$(number_of vdd)
volume origin-real "0 65536 linear $disk 0" LVM-origin-real
volume origin "0 65536 snapshot-origin $(device_of origin-real)" LVM-origin
file_on "$(device_of origin)" origin ext4 -q -b 4096
sync
volume snapshot-cow "0 65536 linear $disk 65536" LVM-snapshot-cow
dmsetup suspend origin
volume snapshot "0 65536 snapshot $(device_of origin-real) $(device_of snapshot-cow) P 8" LVM-snapshot
dmsetup resume origin
dd if=/dev/urandom of=/run/origin/file bs=1M count=1 seek=2 conv=notrunc 2> /dev/null
mkdir -p /run/snapshot
mount -t ext4 "$(device_of snapshot)" /run/snapshot
# A thin volume.
volume pool-meta "0 8192 linear $disk 131072" LVM-pool_tmeta
volume pool-data "0 65536 linear $disk 139264" LVM-pool_tdata
volume pool "0 65536 thin-pool $(device_of pool-meta) $(device_of pool-data) 128 0" LVM-pool-tpool
dmsetup message pool 0 'create_thin 0'
volume thin "0 65536 thin $(device_of pool) 0" LVM-thin
file_on "$(device_of thin)" thin ext4 -q -b 4096
# Mirrored, and with parity.
for leg in 0 1 2 3 4; do volume leg$leg "0 40960 linear $disk $((204800 + leg * 40960))" LVM-leg$leg; done
volume raid1 "0 40960 raid raid1 2 0 nosync 2 - $(device_of leg0) - $(device_of leg1)" LVM-raid1
volume raid5 "0 81920 raid raid5_ls 2 128 nosync 3 - $(device_of leg2) - $(device_of leg3) - $(device_of leg4)" LVM-raid5
for name in raid1 raid5; do file_on "$(device_of $name)" $name ext4 -q -b 4096; done

# A partition that begins at sector 63, as they did once, and one with blocks of 1 KiB.
file_on /dev/vde1 sector-63 ext4 -q -b 4096
file_on /dev/vde2 small-blocks ext4 -q -b 1024

# Files that share their blocks, and one that shared them before it was changed in the middle.
file_on /dev/vdf xfs xfs -q -m reflink=1
sync
node -e '
  const { constants, copyFileSync } = require("node:fs");
  copyFileSync("/run/xfs/file", "/run/xfs/shared", constants.COPYFILE_FICLONE_FORCE);
  copyFileSync("/run/xfs/file", "/run/xfs/changed", constants.COPYFILE_FICLONE_FORCE);'
dd if=/dev/urandom of=/run/xfs/changed bs=1M count=1 seek=2 conv=notrunc 2> /dev/null
# Behind a loop device.
random_file /run/xfs/image 16
losetup /dev/loop0 /run/xfs/image
file_on /dev/loop0 loop ext4 -q -b 4096
file_on /dev/vdg btrfs btrfs -q
sync
node /run/poolshift/locate.js /run/linear/file /run/striped/file /run/crypt/file /run/merged/file /run/merged/image \
  /run/origin/file /run/snapshot/file /run/thin/file /run/raid1/file /run/raid5/file \
  /run/sector-63/file /run/small-blocks/file /run/loop/file /run/xfs/file /run/xfs/shared /run/xfs/changed /run/btrfs/file
echo LOCATED-ALL
poweroff -f
