#!/bin/sh
# Makes a tree of Debian with the hosts' packages a machine that boots and that Vagrant can enter: a hook of mmdebstrap, which calls
# it with the tree. Leaves the private key of the user "vagrant" as /vagrant_private_key, to be moved into the box.
set -eu
root=$1
label=poolshift-box

chroot "$root" useradd --create-home --shell /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/vagrant"
chmod 440 "$root/etc/sudoers.d/vagrant"
# A key of this box alone: Vagrant's own is known to everybody, and is replaced at the first start, which takes time.
ssh-keygen -q -t ed25519 -N '' -C vagrant -f "$root/vagrant_private_key"
install -d -m 700 "$root/home/vagrant/.ssh"
mv "$root/vagrant_private_key.pub" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh

# Every machine makes host keys of its own.
mkdir -p "$root/etc/systemd/system/ssh.service.d"
printf '[Service]\nExecStartPre=\nExecStartPre=ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n' \
  > "$root/etc/systemd/system/ssh.service.d/host-keys.conf"

# Vagrant comes by the first interface, and configures the others (net.ifnames=0: eth0 to eth3 in the Vagrantfile's order).
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' > "$root/etc/systemd/network/20-eth0.network"
chroot "$root" systemctl --quiet enable systemd-networkd
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
echo box > "$root/etc/hostname"
echo '127.0.0.1 localhost' > "$root/etc/hosts"
echo "LABEL=$label / ext4 errors=remount-ro 0 1" > "$root/etc/fstab"

# GRUB without files and menu: it starts what Debian's links /vmlinuz and /initrd.img lead to.
cat > "$root/boot/start.cfg" << CONF
linux (hd0,msdos1)/vmlinuz root=LABEL=$label ro net.ifnames=0 console=tty0 console=ttyS0
initrd (hd0,msdos1)/initrd.img
boot
CONF
chroot "$root" grub-mkimage --format=i386-pc --prefix=/boot --config=/boot/start.cfg --output=/boot/core.img \
  biosdisk part_msdos ext2 linux boot
