#!/usr/bin/env bash
# Keeper of the local lab: process 1 of the lab's namespaces (lab-process.ts starts it with `unshare`). Everything the lab
# is made of belongs to these namespaces, so when this process ends, the kernel takes all of it down.
#   keeper.sh FOLDER ROOTFS CACHE EXPORT
# Reads its standard input, which is a pipe from the process that started it: at its end the lab goes down, unless the
# line "keep" came before.
set -euo pipefail
folder=$1 rootfs=$2 cache=$3 export=$4
hosts=(src dst nfs client)

# A /run of our own, with the lab's folder still in it: network namespaces and nspawn's files stay inside.
staging=$folder/run
mkdir -p "$staging"
mount -t tmpfs -o size=8g,mode=755 poolshift "$staging"
mkdir -p "$staging/netns" "$staging/systemd/nspawn" "$staging/lab" "$staging/lock" "$staging/${folder#/run/}"
mount --bind "$folder" "$staging/${folder#/run/}"
mount --rbind "$staging" /run

switch() { ip -n switch "$@"; }
ip link set lo up
for name in switch "${hosts[@]}"; do
  ip netns add "$name"
  ip -n "$name" link set lo up
done
for network in ctl mig sto svc; do
  switch link add "$network" type bridge forward_delay 0
  switch link set "$network" up
done
number=0
for host in "${hosts[@]}"; do
  number=$((number + 1))
  for network in ctl:10.40.0 mig:10.10.0 sto:10.20.0 svc:10.30.0; do
    interface=${network%%:*} prefix=${network#*:}
    ip -n "$host" link add "$interface" type veth peer name "$host-$interface" netns switch
    switch link set "$host-$interface" master "$interface" up
    ip -n "$host" addr add "$prefix.$number/24" dev "$interface"
    ip -n "$host" link set "$interface" up
  done
done
ip link add ctl type veth peer name station netns switch
switch link set station master ctl up
ip addr add 10.40.0.254/24 dev ctl
ip link set ctl up

number=0
for host in "${hosts[@]}"; do
  number=$((number + 1))
  layers=/run/lab/$host
  mkdir -p "$layers/upper" "$layers/work" "$layers/root"
  mount -t overlay "$host" -o "lowerdir=$rootfs,upperdir=$layers/upper,workdir=$layers/work" "$layers/root"
  root=$layers/root
  ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$root/etc/ssh/ssh_host_ed25519_key"
  echo "10.40.0.$number $(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" >> "$folder/known_hosts"
  echo "$host" > "$root/etc/hostname"
  printf '127.0.0.1 localhost %s\n' "$host" > "$root/etc/hosts"
  install -d -m700 "$root/root/.ssh"
  install -m600 "$folder/id.pub" "$root/root/.ssh/authorized_keys"

  capabilities=CAP_NET_ADMIN,CAP_IPC_LOCK,CAP_SYS_NICE
  shared_memory=/dev/shm:mode=1777,size=64g
  options=(--quiet --register=no --keep-unit "--network-namespace-path=/run/netns/$host" "--machine=$host"
    "--directory=$root" "--capability=$capabilities" --system-call-filter=open_by_handle_at --resolv-conf=off
    --timezone=off --link-journal=no --console=read-only "--tmpfs=$shared_memory" "--bind-ro=$cache")
  for device in /dev/fuse /dev/net/tun /dev/kvm; do
    if [ -e "$device" ]; then options+=("--bind=$device"); fi
  done
  if [ "$host" = nfs ]; then options+=("--bind=$export:/srv/export"); fi
  (
    for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
      [ -e "$hierarchy/cgroup.procs" ] || continue
      mkdir -p "$hierarchy/${folder##*/}/$host"
      echo "$BASHPID" > "$hierarchy/${folder##*/}/$host/cgroup.procs"
    done
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network \
      systemd-nspawn "${options[@]}" --boot < /dev/null > "$folder/$host.log" 2>&1 || true
    touch "$folder/$host.ended"
  ) &
done
echo up

kept=
while IFS= read -r line; do
  if [ "$line" = keep ]; then kept=yes; fi
done
if [ -n "$kept" ]; then wait; fi
