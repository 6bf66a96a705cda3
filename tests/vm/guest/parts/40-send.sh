# Who is in the group may send, who is not may not.
refused 4 'zipnet' as alice zipnetctl send "not yet"
NAME=alice
docs adduser >/dev/null
as alice zipnetctl send --wait --timeout 5m "hello from alice" || fail "alice cannot send"
[ "$(published 'hello from alice')" = 1 ] || fail "it is in the log $(published 'hello from alice') times"
refused 4 'zipnet' as mallory zipnetctl send "hello from mallory"
# Each sees the own messages only.
adduser --quiet --disabled-password --gecos '' bob
adduser --quiet bob zipnet
[ -z "$(as bob zipnetctl --json list)" ] || fail "bob sees alice's messages"
[ "$(as alice zipnetctl --json list | wc -l)" = 1 ] || fail "alice does not see hers"
