# Everything that was enabled runs, and the message is still there.
ip addr add $ADDR/32 dev lo
systemd-run --quiet --unit=relay /test/relay $ADDR:3340
until_ok $LONG "the daemon answers" zipnetctl status
is "$(cat rebooted)" queued || fail "the message is $(state "$(cat rebooted)")"
systemctl enable --quiet --now zipnet-aggregator
until_ok $LONG "it is published" is "$(cat rebooted)" published
[ "$(published 'survives the reboot')" = 1 ] || fail "it is in the log $(published 'survives the reboot') times"
for node in $NODES; do
  until_ok $LONG "$node is ready" ready /run/zipnet/$node.sock
done
