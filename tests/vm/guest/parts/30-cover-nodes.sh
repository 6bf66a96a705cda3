# A daemon and four more by template, all with empty queues: cover nodes.
echo "relay = \"$RELAY\"" >>/etc/zipnet/zipnetd.toml
cd /test/debs/old
docs cover-node >/var/log/cover-node.log
# Type=notify: it is started once callers are answered, wherever the network is.
[ "$(systemctl is-active zipnetd)" = active ] || fail "zipnetd is not active"
zipnetctl status >/dev/null || fail "it is started, and does not answer"
docs second >/dev/null
for node in one two three; do
  cp /etc/zipnet/zipnetd.toml /etc/zipnet/$node.toml
  systemctl enable --quiet --now zipnetd@$node
done

for node in zipnetd $NODES; do
  until_ok $LONG "$node is ready" ready /run/zipnet/$node.sock
done
[ "$(stat -c '%a %G' /run/zipnet/zipnetd.sock)" = "660 zipnet" ] || fail "the socket is $(stat -c '%a %G' /run/zipnet/zipnetd.sock)"
until_ok $LONG "systemctl status says how it is" \
  sh -c 'systemctl show -p StatusText --value zipnetd | grep -E "round [0-9]+, [0-9]+ participants, 3 of 3 servers"'
zipnetctl doctor >doctor.log || fail "doctor finds something: $(cat doctor.log)"
for look in cover-node-look server-look aggregator-look runbook-client runbook-server all-servers log-verify; do
  docs $look >look.log 2>&1 || fail "$look: $(tail -20 look.log)"
done
