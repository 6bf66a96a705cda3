# What the parts share.
export LC_ALL=C SYSTEMD_PAGER= SYSTEMD_COLORS=0
ADDR=203.0.113.1
RELAY=http://$ADDR:3340
# In software a machine is some twenty times slower than the one it runs on.
LONG=300

# The cover nodes by template.
NODES='second one two three'
# What parts leave for those after them, across the reboot.
[ ! -e /test/remembered ] || . /test/remembered
remember() { declare -p "$@" >>/test/remembered; }

say() { printf 'TEST: %s\n' "$*"; }

fail() {
  say "   wrong: $*"
  exit 1
}

# until_ok SECONDS WHAT COMMAND...: waits for the command to succeed.
until_ok() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "waited in vain until $what"
    sleep 0.5
  done
  say "   $what"
}

# refused CODE WORDS COMMAND...: the command ends with that code and says these words.
refused() {
  local want=$1 words=$2 said code=0
  shift 2
  said=$("$@" 2>&1) || code=$?
  [ $code = "$want" ] || fail "$* ended with $code, not $want: $said"
  grep -q -- "$words" <<<"$said" || fail "$* did not say '$words': $said"
  say "   $(head -1 <<<"$said")"
}

as() {
  local user=$1
  shift
  runuser -l "$user" -c "$(printf '%q ' "$@")"
}

status() { zipnetctl ${2:+--socket "$2"} --json status | jq -er "$1"; }

# The state of the message $1.
state() { zipnetctl --json show "$1" | jq -er .state; }
is() { [ "$(state "$1")" = "$2" ]; }

# How often the text $1 stands in the broadcast log.
published() { zipnetctl --json read | jq -r 'select(.payload == "'"$1"'") | .payload' | wc -l; }

main_pid() { systemctl show -p MainPID --value "$1"; }
another_pid() {
  local pid
  pid=$(main_pid "$1")
  [ "$pid" != 0 ] && [ "$pid" != "$2" ]
}
all_servers() { [ "$(status '.servers | length')" = 3 ] && ready; }
ready() { [ "$(status .state "${1:-}")" = ready ]; }

# The commands of a page of docs/, as they stand there; variables stand for what differs.
docs() {
  [ -e "/test/docs/$1.sh" ] || fail "the pages have no block vm:$1"
  touch "/test/docs/$1.ran"
  . "/test/docs/$1.sh"
}

evidence() {
  say "what the machine knows"
  systemctl --no-pager --failed || true
  journalctl -b --no-pager -o short-monotonic | tail -n 120 || true
}
