#!/usr/bin/env bash
# Process 1 of namespaces of its own (run-tests.ts starts it with `unshare`): runs COMMAND with processes, a /run and cgroups that
# nobody else sees, so that it may have a lab beside somebody else's lab. All that it started ends with it.
#   own-namespaces.sh NAME COMMAND...
set -euo pipefail
name=$1
shift
resolver=$(realpath -e /etc/resolv.conf || true)
nameservers=$(cat /etc/resolv.conf || true)
mount -t tmpfs -o mode=755 poolshift-tests /run
mkdir /run/lock
if [[ $resolver == /run/* ]]; then
  mkdir -p "${resolver%/*}"
  echo "$nameservers" > "$resolver"
fi
for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy/$name"
  echo $$ > "$hierarchy/$name/cgroup.procs"
  mount --bind "$hierarchy/$name" "$hierarchy"
done
# Not exec: process 1 takes the processes that lose their parent.
unshare --cgroup -- "$@"
