# The parts, in the order of their numbers. A part that reboots is over by that; the rest goes on after it.
set -uo pipefail
cd /test
. ./lib.sh
mkdir -p done
for part in parts/*.sh; do
  name=$(basename "$part" .sh)
  [ -e "done/$name" ] && continue
  say "== $name (up $(cut -d. -f1 /proc/uptime) s)"
  if ! bash -euo pipefail -c ". ./lib.sh; PART=$name; . ./$part"; then
    say "failed: $name"
    evidence
    systemctl poweroff
    exit 1
  fi
  touch "done/$name"
done
say "passed"
systemctl poweroff
