# An upgrade with messages queued: nothing is lost, settings stay.
systemctl stop zipnet-aggregator
id=$(as alice zipnetctl send --ttl 1h "survives the upgrade")
sums=$(sha256sum /etc/zipnet/*.toml /etc/default/zipnet-*)
pid=$(main_pid zipnetd)
cd /test/debs/new
for PACKAGE in *.deb; do
  docs upgrade >/var/log/upgrade.log 2>&1 || { tail -20 /var/log/upgrade.log; fail "the upgrade of $PACKAGE"; }
done
cd - >/dev/null
dpkg -s zipnetd | grep -q '^Version: .*next' || fail "the version is $(dpkg -s zipnetd | grep Version)"
until_ok $LONG "the daemon was restarted" another_pid zipnetd "$pid"
[ "$sums" = "$(sha256sum /etc/zipnet/*.toml /etc/default/zipnet-*)" ] || fail "the upgrade changed settings"
until_ok $LONG "the queue is there" is "$id" queued
# The copies do not belong to the package.
systemctl restart zipnet-server-2 zipnet-server-3
systemctl start zipnet-aggregator
until_ok $LONG "it is published" is "$id" published
[ "$(published 'survives the upgrade')" = 1 ] || fail "it is in the log $(published 'survives the upgrade') times"
