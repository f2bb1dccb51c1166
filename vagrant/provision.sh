#!/usr/bin/env bash
# Makes a Debian 13 machine one of the testbed's hosts. Idempotent. The local lab's root file system and the Vagrant box are made
# by it too.
#   provision.sh host [SERVER:/EXPORT]   packages of a VM host; mounts the export at /mnt/poolshift, now and at boot
#   provision.sh nfs [FOLDER]            packages of the storage server; exports the folder by the kernel's NFS server
#   provision.sh client
#   provision.sh lab                     what the local lab's containers have: all of it, but an NFS server in user space
# On a machine that runs, services that somebody has enabled stay so.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

common=(openssh-server sudo iproute2 iputils-ping iperf3 ethtool procps kmod socat zstd ca-certificates)
host=(nfs-common qemu-system-x86 qemu-block-extra qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
nfs=(nfs-kernel-server)
lab=(nfs-ganesha nfs-ganesha-vfs rpcbind)
client=(sysbench mariadb-client-core postgresql-client fping haproxy)

case ${1-} in
  host) packages=("${common[@]}" "${host[@]}") ;;
  nfs) packages=("${common[@]}" "${nfs[@]}") ;;
  client) packages=("${common[@]}" "${client[@]}") ;;
  lab) packages=("${common[@]}" "${host[@]}" "${lab[@]}" "${client[@]}") ;;
  *)
    echo "usage: $0 host [SERVER:/EXPORT] | nfs [FOLDER] | client | lab" >&2
    exit 2
    ;;
esac
running=
if [ -d /run/systemd/system ]; then running=yes; fi

# Writes standard input to a file only if that changes it.
put() {
  local content
  content=$(cat)
  if [ ! -e "$1" ] || [ "$(cat "$1")" != "$content" ]; then
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$content" > "$1"
    echo "changed $1"
  fi
}

# Puts a line for a file system into /etc/fstab, in place of what else is at its mount point.
mount_at_boot() {
  local point
  point=$(echo "$1" | cut -d' ' -f2)
  if grep -sqxF "$1" /etc/fstab; then return; fi
  { grep -sv " $point " /etc/fstab || true; echo "$1"; } | put /etc/fstab
  if [ "$running" ]; then systemctl daemon-reload; fi
}

is_enabled() { [ "$(systemctl is-enabled "$1" 2> /dev/null || true)" = enabled ]; }

# Services are started by the harness when their configuration is there, not by their installation. A policy that the machine has is
# put back in the end.
policy=/usr/sbin/policy-rc.d
kept_policy=$policy.before-poolshift
our_policy='# provision.sh of Poolshift'
forbid_starts() {
  if [ -e "$policy" ]; then mv "$policy" "$kept_policy"; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$our_policy" > "$policy"
  chmod +x "$policy"
}
allow_starts() {
  if grep -sqxF "$our_policy" "$policy"; then rm "$policy"; fi
  if [ -e "$kept_policy" ]; then mv "$kept_policy" "$policy"; fi
}
# A run that was killed has left ours.
allow_starts

unwanted=(nfs-ganesha.service nfs-ganesha-lock.service rpcbind.socket rpcbind.service nfs-blkmap.service
  nfs-client.target libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service
  virtlogd.service virtlogd.socket virtlogd-admin.socket haproxy.service
  logrotate.timer apt-daily.timer apt-daily-upgrade.timer)
if [ "$1 ${2-}" = 'nfs ' ]; then unwanted+=(nfs-server.service); fi
# A tree that no systemd runs in is an image in the making, and the lab's containers are nobody else's.
theirs=' '
if [ "$running" ] && [ "$1" != lab ]; then
  for unit in "${unwanted[@]}"; do
    if is_enabled "$unit"; then theirs+="$unit "; fi
  done
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  trap allow_starts EXIT
  forbid_starts
  apt-get -q update
  apt-get -qy --no-install-recommends install "${missing[@]}"
  apt-get clean
  echo "changed packages: ${missing[*]}"
fi

# The harness polls over ssh: with the defaults it would lock itself out. OpenSSH before 9.8 has no such penalties, and does not
# start with an option that it does not know. -G, unlike -t, needs no host keys, which an image has not.
{
  if /usr/sbin/sshd -G -f /dev/null -o 'PerSourcePenalties no' > /dev/null 2>&1; then echo 'PerSourcePenalties no'; fi
  printf '%s\n' 'UseDNS no' 'MaxSessions 100' 'MaxStartups 100'
} | put /etc/ssh/sshd_config.d/10-poolshift.conf

for unit in "${unwanted[@]}"; do
  if [[ $theirs != *" $unit "* ]] && is_enabled "$unit"; then
    systemctl disable "$unit" 2> /dev/null
    echo "changed $unit"
  fi
done

# QEMU on the VM hosts is root, and is to be root here.
if [ "$1" = nfs ] && [ $# -gt 1 ]; then
  mkdir -p "$2"
  exports=/etc/exports.d/poolshift.exports
  line="$2 *(rw,sync,no_subtree_check,no_root_squash)"
  if ! grep -sqxF "$line" "$exports"; then
    echo "$line" | put "$exports"
    if systemctl --quiet is-active nfs-server; then exportfs -ra; fi
  fi
  if ! systemctl --quiet is-enabled nfs-server; then
    systemctl --quiet enable nfs-server
    echo 'changed nfs-server.service'
  fi
  if [ "$running" ]; then systemctl start nfs-server; fi
fi

# Hard, so that a server that is slow gives the guest no errors; images are opened with O_DIRECT, past this host's cache.
if [ "$1" = host ] && [ $# -gt 1 ]; then
  mount=/mnt/poolshift
  mkdir -p "$mount"
  mount_at_boot "$2 $mount nfs vers=4.2,hard,proto=tcp,nconnect=4,nofail,_netdev 0 0"
  if [ "$running" ] && ! mountpoint --quiet "$mount"; then
    mount "$mount"
    echo "changed $mount"
  fi
fi

# The VM's memory is a file in /dev/shm, which has half of the machine's by default.
if [ "$1" = host ] && [ "$running" ]; then
  memory_kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
  shared_kib=$(df --output=size -k /dev/shm | tail -1)
  if [ "$shared_kib" -lt $((memory_kib * 88 / 100)) ]; then
    mount_at_boot 'tmpfs /dev/shm tmpfs nosuid,nodev,size=90% 0 0'
    mount -o remount,size=90% /dev/shm
  fi
fi
