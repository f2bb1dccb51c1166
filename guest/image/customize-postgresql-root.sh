#!/bin/sh
# Goes on after customize-root.sh in a tree with PostgreSQL: its programs under names without a version, and room for a data directory.
set -eu
root=$1

cd "$root"
# The cluster that the package makes, and what compiles queries, which is as large as all the rest.
rm -rf var/lib/postgresql etc/postgresql usr/lib/postgresql/*/lib/bitcode usr/lib/postgresql/*/lib/llvmjit* usr/share/i18n
find usr/lib/x86_64-linux-gnu \( -name 'libLLVM*' -o -name 'libz3*' \) -delete
# What Debian puts at these names are scripts that look for a cluster.
for program in usr/lib/postgresql/*/bin/*; do ln -sf "/$program" "usr/bin/${program##*/}"; done
install -d -m 700 -o "$(chroot . id -u postgres)" -g "$(chroot . id -g postgres)" var/lib/postgresql
mkdir -p etc/poolshift
