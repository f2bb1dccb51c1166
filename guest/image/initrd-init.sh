#!/bin/sh
# First program of the guest, from the initial RAM disk: loads the drivers, mounts the disk, and hands over to
# /poolshift/init, which it takes along in the new root's /run. So a change of the guest's behaviour, of its keys or
# of its agent is a new initial RAM disk and never a new disk image.
say() {
  read -r uptime _ < /proc/uptime
  echo "POOLSHIFT $uptime $*" > /dev/console
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
say initrd

# The accelerator's probe only wants to know that the kernel comes this far.
case " $(cat /proc/cmdline) " in *' poolshift.probe '*) poweroff -f ;; esac

while read -r module; do insmod "/modules/$module"; done < /modules/order
case " $(cat /proc/cmdline) " in
  *' poolshift.nfs='*) while read -r module; do insmod "/modules/$module"; done < /modules/nfs-order ;;
esac
tries=0
while [ ! -b /dev/vda ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 400 ]; then say "failed: the disk did not appear"; poweroff -f; fi
  sleep 0.05
done
mount -t ext4 -o noatime /dev/vda /root || { say "failed: the disk cannot be mounted"; poweroff -f; }
echo none > /sys/block/vda/queue/scheduler

mount -t tmpfs -o mode=755,size=16m tmpfs /root/run
cp -a /poolshift /root/run/poolshift
for each in dev proc sys; do mount --move "/$each" "/root/$each"; done
exec switch_root /root /run/poolshift/init
