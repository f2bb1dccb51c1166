#!/usr/bin/env bash
# Makes a Debian 13 machine one of the testbed's hosts. Idempotent. The local lab's root file system is made by it too.
#   provision.sh host|nfs|client|all
# What belongs to one lab (addresses, keys, exports) is set up later over ssh.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

common=(openssh-server sudo iproute2 iputils-ping iperf3 ethtool procps kmod socat zstd ca-certificates)
host=(qemu-system-x86 qemu-block-extra qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
nfs=(nfs-ganesha nfs-ganesha-vfs rpcbind)
client=(sysbench mariadb-client-core fping)

case ${1-} in
  host) packages=("${common[@]}" "${host[@]}") ;;
  nfs) packages=("${common[@]}" "${nfs[@]}") ;;
  client) packages=("${common[@]}" "${client[@]}") ;;
  all) packages=("${common[@]}" "${host[@]}" "${nfs[@]}" "${client[@]}") ;;
  *)
    echo "usage: $0 host|nfs|client|all" >&2
    exit 2
    ;;
esac

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

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  # Services are started by the harness when their configuration is there, not by their installation.
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  apt-get -q update
  apt-get -qy --no-install-recommends install "${missing[@]}"
  apt-get clean
  echo "changed packages: ${missing[*]}"
fi

# The harness polls over ssh: with the defaults it would lock itself out.
put /etc/ssh/sshd_config.d/10-poolshift.conf << 'CONF'
PerSourcePenalties no
UseDNS no
MaxSessions 100
MaxStartups 100
CONF

for unit in nfs-ganesha.service nfs-ganesha-lock.service rpcbind.socket rpcbind.service nfs-blkmap.service \
  nfs-client.target libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service \
  virtlogd.service virtlogd.socket virtlogd-admin.socket logrotate.timer apt-daily.timer apt-daily-upgrade.timer; do
  if [ "$(systemctl is-enabled "$unit" 2> /dev/null || true)" = enabled ]; then
    systemctl disable "$unit" 2> /dev/null
    echo "changed $unit"
  fi
done
