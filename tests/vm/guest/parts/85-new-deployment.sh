# Another deployment in place of this one; the log and the queues of the old one stay behind.
OLD_ID=$DEPLOYMENT_ID
docs descriptor-next >/dev/null
rm descriptor-next.json
NEW_ID=$(zipnetctl descriptor new --instance $INSTANCE --server $SERVER1 --server $SERVER2 --server $SERVER3 $PARAMS --predecessor $OLD_ID -o descriptor-next.json)
[ $NEW_ID != $OLD_ID ] || fail "the new deployment has the old one's id"
systemctl stop zipnet-aggregator zipnet-server-2 zipnet-server-3
for n in 2 3; do mv /var/lib/zipnet-server-$n/log /var/lib/zipnet-server-$n/log-$OLD_ID; done
docs server-next
systemctl start zipnet-server-2 zipnet-server-3 zipnet-aggregator
docs move-pin
for node in $NODES; do
  systemctl stop zipnetd@$node.socket zipnetd@$node
  rm -r /var/lib/private/zipnetd-instances/$node
  cp /etc/zipnet/zipnetd.toml /etc/zipnet/$node.toml
  systemctl start zipnetd@$node.socket zipnetd@$node
done
until_ok $LONG "the daemon takes part in the new deployment" ready
[ "$(status .deployment)" = $NEW_ID ] || fail "it takes part in $(status .deployment)"
as alice zipnetctl send --wait --timeout 5m "in the new deployment" || fail "alice cannot send"
