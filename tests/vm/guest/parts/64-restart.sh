# A restart while callers are connected: who watches goes on afterwards, and who calls meanwhile waits instead of being refused.
watched=$(as alice zipnetctl send --ttl 1h --request-id watched "sent before the restart")
as alice zipnetctl watch "$watched" >watch.log 2>&1 &
watcher=$!
systemctl restart --no-block zipnetd
for n in 1 2 3 4 5 6 7 8; do
  as alice zipnetctl version >/dev/null || fail "call $n during the restart was refused"
done
wait $watcher || fail "the watcher ended with $?: $(cat watch.log)"
say "   watched across the restart: $(tr '\n' ',' <watch.log)"
[ "$(published 'sent before the restart')" = 1 ] || fail "it is in the log $(published 'sent before the restart') times"

# A call starts a daemon that is stopped.
systemctl stop zipnetd
zipnetctl version >/dev/null || fail "a call does not start the daemon"
[ "$(systemctl is-active zipnetd)" = active ] || fail "zipnetd is not active"
