#!/bin/bash
# build.sh OUT.qcow2: makes gapura-test, a virtual machine image of 19 MB that boots by itself in a few seconds.
#
# Tests and newcomers need a guest that is small, needs no licence or download of its own, and says on its console
# what the cloud told it. So it is put together here from Debian's own packages: the cloud kernel, a static busybox,
# the guest agent, and syslinux for BIOS machines. The same packages give the same bytes.
#
# Packages are kept in ${GAPURA_CACHE:-~/.cache/gapura}/guest: only what is missing is downloaded.
set -euo pipefail

[ $# = 1 ] || { echo "usage: $0 OUT.qcow2" >&2; exit 2; }
output=$(realpath -m "$1")
here=$(dirname "$(readlink -f "$0")")
cache=${GAPURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gapura}/guest
packages=$cache/packages
disk_mib=32
virtual_size=64M
# Every timestamp and volume number below comes from here, so that a second build gives the same image.
export SOURCE_DATE_EPOCH=1735689600 TZ=UTC MTOOLS_SKIP_CHECK=1
volume_number=67617075

work=$(mktemp -d "${TMPDIR:-/tmp}/gapura-guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$packages" "$(dirname "$output")"
PATH=$PATH:/usr/sbin:/sbin

for tool in apt-get dpkg-deb cpio gzip cc mcopy mkfs.vfat syslinux qemu-img; do
  command -v "$tool" > /dev/null || { echo "$0: needs $tool; etc/install.sh installs it" >&2; exit 1; }
done

# --- packages -------------------------------------------------------------------------------------------------
# package NAME: prints the file of NAME in the cache, downloading it if it isn't there.
package() {
  local file
  file=$(find "$packages" -name "$1_*.deb" | sort -V | tail -n 1)
  if [ -z "$file" ]; then
    echo "guest: downloading $1" >&2
    # Through a second folder: an interrupted download must not be taken for a package.
    ( mkdir -p "$work/download" && cd "$work/download" && apt-get download "$1" > "$work/download.log" 2>&1 ) ||
      { cat "$work/download.log" >&2; echo "guest: $1 can't be downloaded; try 'apt-get update' first" >&2; return 1; }
    mv "$work/download/$1"_*.deb "$packages/"
    file=$(find "$packages" -name "$1_*.deb" | sort -V | tail -n 1)
  fi
  echo "$file"
}
kernel_package() {
  local name
  # What is in the cache goes before what apt offers today: offline, or between two kernel updates, nothing changes.
  name=$(find "$packages" -name 'linux-image-[0-9]*-cloud-amd64_*.deb' -printf '%f\n' | sort -V | tail -n 1)
  [ -n "$name" ] && echo "${name%%_*}" && return
  apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }'
}

name=$(kernel_package)
[ -n "$name" ] || { echo "guest: apt knows no linux-image-cloud-amd64; try 'apt-get update' first" >&2; exit 1; }
kernel_file=$(package "$name")
busybox_file=$(package busybox-static)
agent_file=$(package qemu-guest-agent)
mkdir "$work/kernel" "$work/busybox" "$work/agent"
dpkg-deb --fsys-tarfile "$busybox_file" | tar -x -C "$work/busybox" --wildcards '*bin/busybox'
dpkg-deb --fsys-tarfile "$agent_file" | tar -x -C "$work/agent" ./usr/sbin/qemu-ga

# --- the initial file system, which is all there is -----------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,sbin,proc,sys,dev,etc,run,tmp,mnt,lib/modules,var/run}
install -m 755 "$(find "$work/busybox" -name busybox -type f)" "$root/bin/busybox"
for applet in sh mount umount insmod cat echo ip udhcpc sleep usleep hostname ln mkdir sed grep cut tr head tail ls ps \
  poweroff reboot ping wget httpd nc dd date uname free df kill setsid cttyhack dmesg nslookup sync seq vi; do
  ln -s busybox "$root/bin/$applet"
done
install -m 755 "$here/init" "$root/init"
install -m 755 "$here/lease" "$root/etc/lease"
install -m 755 "$here/shutdown" "$root/sbin/shutdown"
install -m 755 "$here/chpasswd" "$root/bin/chpasswd"
cc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -fcf-protection=none -mgeneral-regs-only \
  -Wl,--build-id=none -s -o "$root/bin/heartbeat" "$here/heartbeat.c"

# Modules in the order they are loaded: there is no depmod in the guest.
first="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover net_failover
  virtio_net virtio_console virtio-rng virtio_balloon button evdev"
filesystems="cdrom isofs fat vfat nls_cp437 nls_ascii nls_utf8"
late="scsi_common scsi_mod libata ata_piix ahci libahci virtio_scsi sr_mod sd_mod"
patterns=(--wildcards './boot/vmlinuz-*')
for module in $first $filesystems $late; do patterns+=("*/${module//_/[-_]}.ko"); done
# A module that this kernel has built in is in no file: tar says so and goes on.
dpkg-deb --fsys-tarfile "$kernel_file" | tar -x -C "$work/kernel" "${patterns[@]}" 2> /dev/null || true
modules() {
  local list=$1 module file
  shift
  for module in "$@"; do
    file=$(find "$work/kernel/lib" -name "${module//_/[-_]}.ko" -print -quit)
    [ -n "$file" ] || continue
    strip --strip-debug -o "$root/lib/modules/${file##*/}" "$file"
    echo "${file##*/}"
  done > "$root/etc/modules.$list"
}
modules first $first
modules filesystems $filesystems
modules late $late
[ -s "$root/etc/modules.first" ] || { echo "guest: no modules in $kernel_file" >&2; exit 1; }
kernel=$(find "$work/kernel/boot" -name 'vmlinuz-*' -print -quit)

# The agent is linked to libraries; QEMU needs the same ones on this machine, so they are here.
strip -o "$root/bin/qemu-ga" "$work/agent/usr/sbin/qemu-ga"
if ldd "$root/bin/qemu-ga" | grep -q 'not found'; then
  echo "guest: left out the guest agent: $(ldd "$root/bin/qemu-ga" | awk '/not found/ { print $1 }' | xargs) missing here" >&2
  rm "$root/bin/qemu-ga"
else
  for library in $(ldd "$root/bin/qemu-ga" | awk '$3 ~ /^\// { print $3 } $1 ~ /^\/lib/ { print $1 }'); do
    mkdir -p "$root${library%/*}"
    cp -L "$library" "$root$library"
  done
fi

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
( cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet -R 0:0 --reproducible ) |
  gzip -1 -n > "$work/initrd.gz"

# --- the disk: a boot record, one FAT partition, syslinux -----------------------------------------------------
cat > "$work/syslinux.cfg" <<'CONFIG'
SERIAL 0 115200
DEFAULT gapura-test
PROMPT 0
TIMEOUT 1
LABEL gapura-test
 KERNEL /vmlinuz
 INITRD /initrd.gz
 APPEND console=ttyS0,115200 quiet loglevel=3 tsc=reliable no_timer_check mitigations=off nokaslr random.trust_cpu=on panic=5 net.ifnames=0 8250.nr_uarts=1 i8042.noaux audit=0 cryptomgr.notests
CONFIG
cp "$kernel" "$work/vmlinuz"
touch -d "@$SOURCE_DATE_EPOCH" "$work"/{vmlinuz,initrd.gz,syslinux.cfg}
sectors=$((disk_mib * 2048 - 2048))
truncate -s $((sectors * 512)) "$work/partition"
mkfs.vfat --invariant -F 16 -s 8 -h 2048 -n GAPURATEST -i "$volume_number" "$work/partition" > /dev/null
mcopy -m -i "$work/partition" "$work"/{vmlinuz,initrd.gz,syslinux.cfg} ::/
syslinux --install "$work/partition"

little_endian() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $((($1 >> 8) & 255)) $((($1 >> 16) & 255)) $((($1 >> 24) & 255)); }
truncate -s "${disk_mib}M" "$work/disk"
put() { dd of="$work/disk" bs=1 seek="$1" conv=notrunc status=none; }
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$work/disk" bs=440 count=1 conv=notrunc status=none
# One active partition of type 06 at sector 2048, written by hand: that spares sfdisk.
printf "\\x80\\xfe\\xff\\xff\\x06\\xfe\\xff\\xff$(little_endian 2048)$(little_endian "$sectors")" | put 446
printf '\x55\xaa' | put 510
dd if="$work/partition" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none

qemu-img convert -f raw -O qcow2 "$work/disk" "$output.part"
qemu-img resize -q -f qcow2 "$output.part" "$virtual_size"
mv "$output.part" "$output"
echo "guest: $output, $(($(stat -c %s "$output") / 1000000)) MB, ${name#linux-image-}" >&2
