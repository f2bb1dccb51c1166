#!/bin/sh
# Writes the guest's disk from its root tree with the data directory in it, without a loop device. Runs in a mount
# namespace of its own (guest/image/confined.ts).
# Usage: make-disk.sh ROOT DATA CONFIG DISK FOLDER-OF-DATA FOLDER-OF-CONFIG
set -eu
root=$1 data=$2 config=$3 disk=$4 data_folder=$5 config_folder=$6

mount --bind "$data" "$root/$data_folder"
mount -t tmpfs tmpfs "$root/$config_folder"
cp "$config" "$root/$config_folder/poolshift.cnf"
# No journal: the disk is made anew for every run, so nothing recovers it, and it would only add writes.
mke2fs -q -F -t ext4 -b 4096 -m 0 -O ^metadata_csum,^has_journal -L poolshift \
  -E lazy_itable_init=0,root_owner=0:0,discard -d "$root" "$disk"
