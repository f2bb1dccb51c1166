#!/bin/busybox sh
# shellcheck shell=dash
# First program of the guest of device-mapper.lab.test.ts, in place of the image's: volumes as LVM makes them, files on them and
# on an overlay, and what the agent says of these.
export PATH=/usr/sbin:/sbin:/usr/bin:/bin
for each in mkdir modprobe mount cat dd sync poweroff sleep; do eval "$each() { /bin/busybox $each \"\$@\"; }"; done
exec > /dev/console 2>&1
modprobe dm-mod
modprobe dm-crypt
modprobe overlay
part=$(cat /sys/block/vdb/vdb1/dev)
disk=$(cat /sys/block/vdc/dev)
# A volume of two pieces, one in stripes, and an encrypted one.
printf '0 20480 linear %s 2048\n20480 20480 linear %s 4096\n' "$part" "$disk" | dmsetup create linear --noudevsync --uuid LVM-linear
dmsetup create striped --noudevsync --uuid LVM-striped --table "0 65536 striped 2 128 $part 24576 $disk 32768"
dmsetup create crypt --noudevsync --uuid CRYPT-PLAIN-x --table "0 20480 crypt aes-xts-plain64 $(/bin/busybox printf 'a1%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32) 0 $disk 81920"
for volume in linear striped crypt; do
  mkdir -p "/run/$volume"
  number=$(dmsetup info -c --noheadings -o minor "$volume")
  mkfs.ext4 -q -b 4096 "/dev/dm-${number# }" && mount -t ext4 "/dev/dm-${number# }" "/run/$volume" &&
    dd if=/dev/urandom "of=/run/$volume/file" bs=1M count=6 2> /dev/null
done
# As in a container: a file of its image, and one that was written.
mkdir -p /run/linear/lower /run/linear/upper /run/linear/work /run/merged
echo image > /run/linear/lower/image
mount -t overlay -o lowerdir=/run/linear/lower,upperdir=/run/linear/upper,workdir=/run/linear/work overlay /run/merged
dd if=/dev/urandom of=/run/merged/file bs=1M count=2 2> /dev/null
sync
node /run/poolshift/locate.js /run/linear/file /run/striped/file /run/crypt/file /run/merged/file /run/merged/image
echo LOCATED-ALL
poweroff -f
