#!/usr/bin/env bash
# The units, as far as they can be checked without booting: they parse, they make what they name, and they are as confined
# as promised. Needs root only to install systemd where it lacks.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v systemd-analyze >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd
fi

# A system of its own: only our units, those they refer to, and programs that do nothing.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
units=$root/usr/lib/systemd/system
mkdir -p "$root"/{etc,bin,usr/bin} "$units"
lib=/usr/lib/systemd/system
[ -d "$lib" ] || lib=/lib/systemd/system
cp "$lib"/*.target "$lib"/*.slice "$units" 2>/dev/null || true
cp ./*.service ./*.socket "$units"
for program in bin/kill usr/bin/zipnetd usr/bin/zipnet-server usr/bin/zipnet-aggregator usr/bin/zipnet-quote usr/bin/zipnet-keybroker; do
  printf '#!/bin/sh\n' >"$root/$program"
  chmod 755 "$root/$program"
done

echo "verify"
said=$(systemd-analyze --root="$root" --man=no verify zipnetd.service zipnetd.socket zipnetd@one.service \
  zipnetd@one.socket zipnet-server.service zipnet-aggregator.service zipnet-quote.socket zipnet-quote@one.service zipnet-keybroker.service 2>&1) || { echo "$said"; exit 1; }
# What is only ignored, such as a misspelt setting, does not make it fail.
if [ -n "$said" ]; then
  echo "$said"
  exit 1
fi

# At most, in tenths.
exposed() {
  local said
  said=$(systemd-analyze security --offline=true --no-pager --threshold="$2" "./$1") || {
    echo "$said"
    echo "$1 is exposed by more than $2 tenths"
    exit 1
  }
  grep 'Overall exposure' <<<"$said"
}
exposed zipnetd.service 15
exposed zipnetd@.service 15
exposed zipnet-server.service 20
exposed zipnet-aggregator.service 20
exposed zipnet-quote@.service 20
exposed zipnet-keybroker.service 20

# Callers are told apart by their uid, and user namespaces hide it.
if grep -n '^PrivateUsers=' zipnetd.service zipnetd@.service; then
  echo "PrivateUsers= must stay off"
  exit 1
fi
# The two differ only in what the template is for.
keys() { { diff <(grep -v '^#' zipnetd.service) <(grep -v '^#' zipnetd@.service) || true; } | grep '^[<>]' | cut -c3-; }
differ=$(keys | cut -d= -f1 | sort -u | tr '\n' ' ')
if [ "$differ" != "After Also Description ExecStart Requires StateDirectory User " ]; then
  echo "zipnetd.service and zipnetd@.service also differ in: $differ"
  exit 1
fi

echo "users and folders"
systemd-sysusers --root="$root" "$PWD"/sysusers.d/*.conf
for user in zipnet-server zipnet-aggregator zipnet-keybroker; do
  grep -q "^$user:" "$root/etc/passwd"
  grep -q " $user $user " "tmpfiles.d/$user.conf"
done
grep -q '^zipnet:' "$root/etc/group"
grep -q '^zipnet-quote:' "$root/etc/group"
echo "units are fine"
