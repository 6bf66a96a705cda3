# Removed, the state is kept; purged, it is gone.
apt-get remove -y -q zipnetd zipnet-server zipnet-aggregator zipnet-quote zipnet-keybroker >/var/log/remove.log 2>&1 || { tail -20 /var/log/remove.log; fail "apt remove"; }
! pgrep -x zipnetd >/dev/null || fail "zipnetd still runs"
for kept in /var/lib/private/zipnetd /var/lib/private/zipnetd-instances/second /var/lib/zipnet-server/identity.key /etc/zipnet/zipnetd.toml; do
  [ -e $kept ] || fail "$kept is gone"
done
apt-get install -y -q /test/debs/new/zipnetd_*.deb >/var/log/again.log 2>&1 || fail "apt install"
systemctl start zipnetd
[ -n "$(as alice zipnetctl --json list --state published)" ] || fail "installed again, it has lost its state"

apt-get purge -y -q zipnetd zipnet-server zipnet-aggregator zipnet-quote zipnet-keybroker >/var/log/purge.log 2>&1 || { tail -20 /var/log/purge.log; fail "apt purge"; }
for gone in /var/lib/zipnetd /var/lib/private/zipnetd /var/lib/private/zipnetd-instances /var/lib/zipnet-server /var/lib/zipnet-aggregator /var/lib/zipnet-keybroker; do
  [ ! -e $gone ] || fail "$gone is still there"
done
for unit in /etc/systemd/system/*/zipnet*; do
  case $unit in *zipnet-test.service | *zipnet-server-[23].service | *'*'*) ;; *) fail "$unit is still there" ;; esac
done
ran=1
for block in /test/docs/*.sh; do
  [ -e "$block" ] || continue
  [ -e "${block%.sh}.ran" ] || { say "   the block $block of the pages was not run"; ran=0; }
done
[ $ran = 1 ] || fail "blocks of the pages were not run"
