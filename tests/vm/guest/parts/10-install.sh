# The packages, as an operator gets them.
adduser --quiet --disabled-password --gecos '' alice
adduser --quiet --disabled-password --gecos '' mallory

apt-get install -y -q /test/debs/old/*.deb >/var/log/install.log 2>&1 || { tail -20 /var/log/install.log; fail "apt install"; }
getent group zipnet >/dev/null || fail "there is no group zipnet"
for user in zipnet-server zipnet-aggregator zipnet-keybroker; do
  [ "$(stat -c '%U %a' /var/lib/$user)" = "$user 700" ] || fail "/var/lib/$user is $(stat -c '%U %a' /var/lib/$user)"
done
for unit in zipnetd.service zipnetd.socket zipnet-server.service zipnet-aggregator.service zipnet-keybroker.service; do
  [ "$(systemctl is-enabled $unit)" = disabled ] || fail "$unit is $(systemctl is-enabled $unit) before anybody enabled it"
  [ "$(systemctl is-active $unit)" = inactive ] || fail "$unit runs before anybody started it"
done
# This is no TDX guest: the quote helper's socket is enabled, and waits for one.
[ "$(systemctl is-enabled zipnet-quote.socket)" = enabled ] || fail "zipnet-quote.socket is $(systemctl is-enabled zipnet-quote.socket)"
[ "$(systemctl is-active zipnet-quote.socket)" = inactive ] || fail "zipnet-quote.socket is $(systemctl is-active zipnet-quote.socket)"
systemctl show -p SupplementaryGroups zipnetd.service | grep -q zipnet-quote || fail "zipnetd is not in the group zipnet-quote"
refused 3 'zipnetd' as alice zipnetctl status

say "   exposure: $(systemd-analyze security --no-pager zipnetd.service | grep -o 'Overall.*')"
systemd-analyze security --no-pager --threshold=15 zipnetd.service >/dev/null || fail "zipnetd is exposed"
for unit in zipnet-server zipnet-aggregator zipnet-keybroker; do
  systemd-analyze security --no-pager --threshold=20 $unit.service >/dev/null || fail "$unit is exposed"
done
