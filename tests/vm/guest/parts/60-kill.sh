# kill -9: it comes back by itself, with its queue. Without an aggregator nothing is published, so what was sent waits.
systemctl stop zipnet-aggregator
id=$(as alice zipnetctl send --ttl 1h "survives kill -9")
pid=$(main_pid zipnetd)
kill -9 "$pid"
until_ok $LONG "another process answers" another_pid zipnetd "$pid"
until_ok $LONG "the queue is there" is "$id" queued
systemctl start zipnet-aggregator
until_ok $LONG "it is published" is "$id" published
[ "$(published 'survives kill -9')" = 1 ] || fail "it is in the log $(published 'survives kill -9') times"
