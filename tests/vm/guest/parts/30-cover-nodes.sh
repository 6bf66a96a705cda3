# A daemon and four more by template, all with empty queues: cover nodes.
configure() {
  sed -i -e "s|^#instance = .*|instance = \"vm.test#$(cat id)\"|" -e "s|^#bootstrap = .*|bootstrap = [\"$(cat bootstrap)\"]|" \
    -e "s|^#relay = .*|relay = \"$RELAY\"|" "$1"
}
nodes='one two three four'
for node in $nodes; do cp /etc/zipnet/zipnetd.toml /etc/zipnet/$node.toml; done
for file in zipnetd $nodes; do configure /etc/zipnet/$file.toml; done
systemctl enable --now zipnetd
# Type=notify: it is started once callers are answered, wherever the network is.
[ "$(systemctl is-active zipnetd)" = active ] || fail "zipnetd is not active"
zipnetctl status >/dev/null || fail "it is started, and does not answer"
for node in $nodes; do systemctl enable --now zipnetd@$node; done

for node in zipnetd $nodes; do
  until_ok $LONG "$node is ready" ready /run/zipnet/$node.sock
done
[ "$(stat -c '%a %G' /run/zipnet/zipnetd.sock)" = "660 zipnet" ] || fail "the socket is $(stat -c '%a %G' /run/zipnet/zipnetd.sock)"
until_ok $LONG "systemctl status says how it is" \
  sh -c 'systemctl show -p StatusText --value zipnetd | grep -E "round [0-9]+, [0-9]+ participants, 3 of 3 servers"'
zipnetctl doctor || fail "doctor finds something"
