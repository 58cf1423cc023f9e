# Makes the disk of a whole machine out of the base: systemd, a kernel of its own, and a start that needs no modules
# but the disk's. Kept in FOLDER: disk.img, vmlinuz, initrd.img, key, key.pub.
# Runs after tree.sh.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" # nothing starts here
chmod +x "$tree/usr/sbin/policy-rc.d"
inside apt-get -q -o Acquire::Retries=3 update
inside apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends systemd-sysv dbus udev kmod
# Only unpacked: installing it would make an initramfs with everything in it.
inside bash -euc '
  cd /tmp
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p" | head -n 1)
  apt-get -q -o Acquire::Retries=3 download "$kernel"
  dpkg --extract linux-image-*.deb /
  rm linux-image-*.deb
  depmod "$(ls /usr/lib/modules)"'
rm "$tree/usr/sbin/policy-rc.d" "$tree"/var/cache/apt/archives/*.deb
cp "$tree"/boot/vmlinuz-* "$out/vmlinuz"

# The first process: mounts the disk and hands over.
start=$out/start
mkdir -p "$start"/{bin,dev,proc,sys,root}
cp "$tree/bin/busybox" "$start/bin/busybox"
ln -s busybox "$start/bin/sh"
module=$(find "$tree/usr/lib/modules" -name 'virtio_blk.ko*')
case $module in
  *.xz) xz -dc "$module" >"$start/virtio_blk.ko" ;;
  *) cp "$module" "$start/virtio_blk.ko" ;;
esac
cat >"$start/init" <<'INIT'
#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs none /dev
$b insmod /virtio_blk.ko
until [ -b /dev/vda ]; do $b sleep 0.1; done
$b mount -t ext4 -o rw,noatime /dev/vda /root
$b mount --move /dev /root/dev
exec $b switch_root /root /sbin/init
INIT
chmod +x "$start/init"
(cd "$start" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$out/initrd.img"

ssh-keygen -q -t ed25519 -N '' -f "$out/key"
install -d -m 0700 "$tree/root/.ssh"
install -m 0600 "$out/key.pub" "$tree/root/.ssh/authorized_keys"
ssh-keygen -q -t ed25519 -N '' -f "$tree/etc/ssh/ssh_host_ed25519_key"
cp "$tree/etc/ssh/ssh_host_ed25519_key.pub" "$out/host.pub"
echo machine >"$tree/etc/hostname"
printf '127.0.0.1 localhost machine\n' >"$tree/etc/hosts"
echo '/dev/vda / ext4 defaults,noatime 0 1' >"$tree/etc/fstab"
rm -f "$tree/etc/machine-id"
touch "$tree/etc/machine-id"
printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' >"$tree/etc/systemd/network/80-wired.network"
# Emulated, everything takes its time.
mkdir -p "$tree/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n' >"$tree/etc/systemd/system.conf.d/slow.conf"
inside systemctl enable systemd-networkd ssh docker containerd 2>/dev/null
for unit in systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
  fstrim.timer systemd-hwdb-update.service; do
  ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done

umount "$tree/proc"
truncate -s 3G "$out/disk.part"
mkfs.ext4 -q -F -d "$tree" "$out/disk.part"
mv "$out/disk.part" "$out/disk.img"
umount "$tree"
rm -rf "$start" "$tree" "$out/upper" "$out/work"
