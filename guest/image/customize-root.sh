#!/bin/sh
# Makes a bootstrapped Debian tree the guest's root tree. mmdebstrap calls it with the tree when all packages are in it.
set -eu
root=$1

# What a guest never uses, so that the image, which is copied before every run, stays small.
cd "$root"
rm -rf usr/share/perl usr/share/zoneinfo usr/share/nodejs/@types \
  usr/lib/x86_64-linux-gnu/perl usr/lib/x86_64-linux-gnu/gconv \
  usr/lib/apt var/lib/apt var/cache/* var/log/* var/lib/mysql
# MySQL logs an error without this one.
find usr/lib -path '*/mysql/plugin/*.so' ! -name component_reference_cache.so -delete
find usr/bin \( -name 'my*' -o -name 'maria*' -o -name ibd2sdi -o -name innochecksum -o -name perror \) -size +2M \
  ! -name mysql ! -name mariadb ! -name mariadb-backup ! -name my_print_defaults -delete

chroot . sh -c 'grep -q ^mysql: /etc/passwd ||
  useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mysql'
mkdir -p var/lib/mysql etc/mysql
# The keys come with the initial RAM disk (guest-init.sh).
ln -sfn /run/poolshift/ssh root/.ssh
