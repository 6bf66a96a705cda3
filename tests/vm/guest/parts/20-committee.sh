# Three servers and an aggregator. The first server and the aggregator are the packages' own units; the other two, which a
# deployment has on hosts of their own, are copies of the server's.
ip addr add $ADDR/32 dev lo
systemd-run --quiet --unit=relay /test/relay $ADDR:3340

ids=()
for n in 1 2 3; do
  name=zipnet-server$([ $n = 1 ] || echo -$n)
  install -d -o zipnet-server -g zipnet-server -m 700 /var/lib/$name
  ids+=("$(runuser -u zipnet-server -- zipnet-server --state-dir /var/lib/$name keygen)")
  if [ $n != 1 ]; then
    sed -e "s#%S/zipnet-server#%S/$name#; s#^StateDirectory=.*#StateDirectory=$name#; s#/etc/default/zipnet-server#/etc/default/$name#" \
      /usr/lib/systemd/system/zipnet-server.service >/etc/systemd/system/$name.service
  fi
done
aggregator=$(runuser -u zipnet-aggregator -- zipnet-aggregator --state-dir /var/lib/zipnet-aggregator keygen)
refused 1 'identity.key' runuser -u zipnet-server -- zipnet-server --state-dir /var/lib/zipnet-server keygen

mkdir -p /etc/zipnet
# Small rooms and short waits, as a test needs them.
zipnetctl descriptor new --instance vm.test --server "${ids[0]}" --server "${ids[1]}" --server "${ids[2]}" \
  --param min_servers=2 --param min_anonymity=3 --param warm_up=0 --param round_deadline_ms=20000 -o /etc/zipnet/descriptor.json >id
say "   deployment $(cat id)"

settings() {
  cat >>"/etc/default/$1" <<END
ZIPNET_LISTEN=$ADDR:$2
ZIPNET_UNIVERSE_LISTEN=$ADDR:$(($2 + 1))
ZIPNET_BOOTSTRAP=${ids[0]}@$ADDR:4701
ZIPNET_RELAY=$RELAY
END
}
for n in 1 2 3; do
  name=zipnet-server$([ $n = 1 ] || echo -$n)
  settings $name $((4690 + 10 * n))
  echo ZIPNET_AGGREGATORS=$aggregator >>/etc/default/$name
done
settings zipnet-aggregator 4750
systemctl daemon-reload
systemctl enable --now zipnet-server zipnet-server-2 zipnet-server-3 zipnet-aggregator
echo "${ids[0]}@$ADDR:4701" >bootstrap
for unit in zipnet-server zipnet-server-2 zipnet-server-3 zipnet-aggregator; do
  until_ok $LONG "$unit runs" systemctl is-active $unit
done
