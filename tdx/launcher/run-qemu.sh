#!/usr/bin/env bash
# Runs a publisher's zipnet client as a TDX guest. Firmware, kernel and initramfs are behind this script, in this file.
#
#   zipnet-client-run-qemu.sh [OPTIONS]
#
#     --bootstrap PEER[,PEER]   peers to find the others through: PEERID@IP:PORT
#     --relay URL               a relay of your own
#     --universe NAME           the universe to find them in, if it is not the shared one
#     --cadence N               reserve in every Nth round
#     --state FILE              where identity and queue are kept, sealed (made with 256 MB if there is none); for images with a key broker
#     --socket PORT             a port of this host's loopback address where programs reach the daemon; for images with a host socket
#     --collateral FILE         what Intel says about the servers' platforms; for images with a policy for servers
#     --memory SIZE             memory of the guest, as QEMU takes it (512M)
#     --cpus N                  processors of the guest (1)
#     --forward PROTO:PORT:TO   a UDP or TCP port of this host's loopback address to a port of the guest; may be repeated
#     --qgs CID:PORT            the quote generation service, a vsock address (2:4050)
#     --qemu PROGRAM            QEMU (qemu-system-x86_64)
#     --emulate                 without TDX, to try it: NOTHING is protected, and no committee admits it
#     --check                   say what this host lacks, and start nothing
#     --extract DIR             write the three files to DIR, and start nothing
#     --help                    this
#
# Exit codes: QEMU's own; 2 wrong options; 3 this file is damaged; 4 this host cannot run it.
set -euo pipefail
export LC_ALL=C

command_line='@COMMAND_LINE@'
instance='@INSTANCE@'
# Of the guest; 0: this image lets no program on the host in.
host_socket='@HOST_SOCKET@'
self=${BASH_SOURCE[0]}

fail() {
  local code=$1
  shift
  printf 'zipnet-client: %s\n' "$@" >&2
  exit "$code"
}
usage() { fail 2 "$1" "--help shows the options"; }

memory=512M cpus=1 qemu=qemu-system-x86_64 qgs=2:4050 mode=run emulate=no extract='' host_lines='' forwards='' state='' collateral=''
while [ $# -gt 0 ]; do
  option=$1
  case $option in
    --emulate) emulate=yes; shift; continue ;;
    --check) mode=check; shift; continue ;;
    --help) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$self"; exit 0 ;;
    --bootstrap | --relay | --universe | --cadence | --memory | --cpus | --forward | --qgs | --qemu | --extract | --state | --socket | --collateral) ;;
    *) usage "there is no option $option" ;;
  esac
  [ $# -ge 2 ] || usage "$option takes a value"
  value=$2
  shift 2
  # What goes to the guest or into QEMU's options has no spaces, quotes or further options in it.
  case $option in
    --qemu | --extract | --state | --collateral) ;;
    --bootstrap) [[ $value =~ ^[][A-Za-z0-9@:.,-]{1,3500}$ ]] || usage "$option does not take $value" ;;
    --relay) [[ $value =~ ^https?://[][A-Za-z0-9:./-]{1,255}$ ]] || usage "$option does not take $value" ;;
    --universe) [[ $value =~ ^[A-Za-z0-9._-]{1,255}$ ]] || usage "$option does not take $value" ;;
    --memory) [[ $value =~ ^[0-9]{1,6}[MG]$ ]] || usage "$option takes a number with M or G, not $value" ;;
    --forward)
      [[ $value =~ ^(tcp|udp):([0-9]{1,5}):([0-9]{1,5})$ ]] || usage "$option takes udp:PORT:TO or tcp:PORT:TO, not $value" ;;
    --qgs) [[ $value =~ ^[0-9]{1,10}:[0-9]{1,10}$ ]] || usage "$option takes CID:PORT, not $value" ;;
    --socket) [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || usage "$option takes a port, not $value" ;;
    *) [[ $value =~ ^[0-9]{1,4}$ && $value != 0 ]] || usage "$option takes a number from 1, not $value" ;;
  esac
  case $option in
    --bootstrap) host_lines+="bootstrap $value"$'\n' ;;
    --relay) host_lines+="relay $value"$'\n' ;;
    --universe) host_lines+="universe $value"$'\n' ;;
    --cadence) host_lines+="cadence $value"$'\n' ;;
    --memory) memory=$value ;;
    --cpus) cpus=$value ;;
    --forward) forwards+=",hostfwd=${BASH_REMATCH[1]}:127.0.0.1:${BASH_REMATCH[2]}-:${BASH_REMATCH[3]}" ;;
    --qgs) qgs=$value ;;
    --qemu) qemu=$value ;;
    --extract) mode=extract extract=$value ;;
    --state) state=$value ;;
    --collateral) collateral=$value ;;
    --socket)
      [ "$host_socket" != 0 ] || usage 'this image lets no program on the host in: it was built without --host-socket'
      forwards+=",hostfwd=tcp:127.0.0.1:$value-:$host_socket"
      echo "zipnet-client: programs on this host reach the daemon at 127.0.0.1:$value; whoever controls this host reads their messages" >&2
      ;;
  esac
done

# What this host lacks, all of it at once.
check() {
  local lacks=() version='' major minor
  version=$("$qemu" --version 2>/dev/null | sed -n '1s/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p') || true
  if [ -z "$version" ]; then
    lacks+=("QEMU: $qemu does not run. Install QEMU 10.1 or later (Debian: qemu-system-x86 of trixie-backports), or name it by --qemu.")
  elif [ $emulate = no ]; then
    major=${version%.*} minor=${version#*.}
    if [ "$major" -lt 10 ] || { [ "$major" -eq 10 ] && [ "$minor" -lt 1 ]; }; then
      lacks+=("QEMU: $qemu is $version. TDX takes 10.1 or later (Debian: qemu-system-x86 of trixie-backports).")
    elif ! "$qemu" -object help 2>/dev/null | grep -q tdx-guest; then
      lacks+=("QEMU: $qemu was built without tdx-guest.")
    fi
  fi
  if [ $emulate = no ]; then
    local tdx=/sys/module/kvm_intel/parameters/tdx
    if ! grep -qw vmx /proc/cpuinfo; then
      lacks+=("Processor: no VMX. TDX takes an Intel Xeon with TDX (Sapphire Rapids or later), with TDX switched on in its setup.")
    elif [ "$(cat $tdx 2>/dev/null)" != Y ]; then
      lacks+=("Kernel: $tdx is not Y. It takes Linux 6.16 or later with kvm_intel.tdx=1, and TDX switched on in the firmware's setup; \`dmesg | grep -i tdx\` says what is missing.")
    fi
    if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
      lacks+=("KVM: /dev/kvm cannot be opened. Load kvm_intel, and run this as root or as a member of the group kvm.")
    fi
  fi
  [ ${#lacks[@]} = 0 ] || fail 4 'this host cannot run the guest:' "${lacks[@]}" '--emulate tries it without TDX, and without any protection.'
}

# One part of this file, checked by its hash: NAME OFFSET SIZE SHA256 FOLDER.
part() {
  tail -c "+$(($2 + 1))" -- "$self" | head -c "$3" >"$5/$1" || [ "${PIPESTATUS[1]}" = 0 ] || fail 4 "$5/$1 cannot be written"
  local sum
  sum=$(sha256sum <"$5/$1")
  [ "${sum%% *}" = "$4" ] || fail 3 "$self is damaged: its $1 has the SHA-256 ${sum%% *}, not $4. Take a new copy."
}
parts() {
  part zipnet-client-ovmf.fd @FIRMWARE_AT@ @FIRMWARE_SIZE@ @FIRMWARE_SHA256@ "$1"
  part zipnet-client-vmlinuz @KERNEL_AT@ @KERNEL_SIZE@ @KERNEL_SHA256@ "$1"
  part zipnet-client-initramfs.cpio.gz @INITRAMFS_AT@ @INITRAMFS_SIZE@ @INITRAMFS_SHA256@ "$1"
}

if [ $mode = extract ]; then
  mkdir -p -- "$extract" || fail 4 "$extract cannot be made"
  parts "$extract"
  exit 0
fi
check
if [ $mode = check ]; then
  echo 'This host has what the guest needs.'
  exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/zipnet-client.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
parts "$work"
{ printf 'zipnet-host 1\n%send\n' "$host_lines"; head -c 4096 /dev/zero; } | head -c 4096 >"$work/host" || true
[ "$(grep -ac '^end$' "$work/host")" = 1 ] || usage 'the options for the guest are longer than the 4096 bytes for them'

machine=q35,hpet=off
disks=()
if [ -n "$state" ]; then
  # With its room on the disk from the start: a guest that cannot write ends.
  if [ ! -e "$state" ]; then
    (umask 077 && fallocate -l 256M -- "$state.new" && mv -- "$state.new" "$state") || { rm -f -- "$state.new"; fail 4 "$state cannot be made"; }
  fi
  # QEMU locks it: no second guest writes to it.
  disks=(-drive "file=${state//,/,,},format=raw,if=none,id=state,cache=writeback"
    -device virtio-blk-pci,drive=state,serial=zipnet-state,disable-legacy=on,iommu_platform=on)
fi
if [ -n "$collateral" ]; then
  [ "$(wc -c <"$collateral")" -le 1048576 ] || fail 4 "$collateral is longer than 1 MiB"
  { cat -- "$collateral"; head -c 4096 /dev/zero; } >"$work/collateral"
  # A disk ends where a sector does.
  truncate -s %4096 -- "$work/collateral"
  disks+=(-drive "file=${work//,/,,}/collateral,format=raw,if=none,id=collateral,readonly=on"
    -device virtio-blk-pci,drive=collateral,serial=zipnet-coll,disable-legacy=on,iommu_platform=on)
fi
if [ $emulate = yes ]; then
  cat >&2 <<'WARNING'
*******************************************************************************
*  EMULATED: this is no TDX guest. Whoever controls this host reads and        *
*  changes everything in it, messages and keys included. It makes no quotes,   *
*  and a committee that asks for one does not admit it. For trying only.       *
*******************************************************************************
WARNING
  # Of the emulated processors the richest crash now and then; this one has what the guest needs.
  protection=(-accel tcg,thread=multi -cpu Nehalem)
else
  machine+=,kernel-irqchip=split,confidential-guest-support=tdx
  protection=(-accel kvm -cpu host,pmu=off -object
    "{\"qom-type\":\"tdx-guest\",\"id\":\"tdx\",\"quote-generation-socket\":{\"type\":\"vsock\",\"cid\":\"${qgs%:*}\",\"port\":\"${qgs#*:}\"}}")
fi
echo "zipnet-client: instance $instance; memory $memory, cpus $cpus" >&2

# Whoever ends this script ends the guest.
guest=
trap 'kill "$guest" 2>/dev/null || true' HUP INT TERM

# Devices have no option ROMs (romfile=): those would be measured into RTMR1.
"$qemu" -nodefaults -no-user-config -no-reboot -display none -serial stdio -monitor none \
  -machine "$machine" "${protection[@]}" -m "$memory" -smp "$cpus" \
  -bios "$work/zipnet-client-ovmf.fd" -kernel "$work/zipnet-client-vmlinuz" \
  -initrd "$work/zipnet-client-initramfs.cpio.gz" -append "$command_line" \
  -netdev "user,id=net$forwards" -device virtio-net-pci,netdev=net,romfile=,disable-legacy=on,iommu_platform=on \
  -drive "file=${work//,/,,}/host,format=raw,if=none,id=host,readonly=on" \
  -device virtio-blk-pci,drive=host,serial=zipnet-host,disable-legacy=on,iommu_platform=on "${disks[@]}" </dev/null &
guest=$!
# A signal ends the wait only.
code=0
wait "$guest" || code=$?
while kill -0 "$guest" 2>/dev/null; do
  code=0
  wait "$guest" || code=$?
done
exit $code
