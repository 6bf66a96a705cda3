# Three servers and an aggregator, by the commands of the operators' pages. The first server and the aggregator are the packages' own
# units; the other two, which a deployment has on hosts of their own, are copies of the server's.
ip addr add $ADDR/32 dev lo
systemd-run --quiet --unit=relay /test/relay $ADDR:3340
# What the pages do not say, because elsewhere each has a host and the internet: other ports, and the relay.
for name in zipnet-server zipnet-aggregator; do echo "ZIPNET_RELAY=$RELAY" >>/etc/default/$name; done
mkdir -p /etc/systemd/system/zipnet-aggregator.service.d
cat >/etc/systemd/system/zipnet-aggregator.service.d/ports.conf <<END
[Service]
ExecStart=
ExecStart=/usr/bin/zipnet-aggregator --listen $ADDR:4750 --universe-listen $ADDR:4751
END

cd /test/debs/old
docs server-key >keygen
SERVER1=$(tail -1 keygen)
refused 2 'identity.key' runuser -u zipnet-server -- zipnet-server --state-dir /var/lib/zipnet-server keygen
for n in 2 3; do
  name=zipnet-server-$n
  install -d -o zipnet-server -g zipnet-server -m 700 /var/lib/$name
  declare SERVER$n="$(runuser -u zipnet-server -- zipnet-server --state-dir /var/lib/$name keygen)"
  sed -e "s#%S/zipnet-server#%S/$name#; s#^StateDirectory=.*#StateDirectory=$name#; s#/etc/default/zipnet-server#/etc/default/$name#" \
    /usr/lib/systemd/system/zipnet-server.service >/etc/systemd/system/$name.service
done
docs aggregator-key >keygen
AGGREGATOR=$(tail -1 keygen)

INSTANCE=vm.test BOOTSTRAP=$SERVER1@$ADDR:4701
docs descriptor >/dev/null
rm descriptor.json
# As on the page, but for small rooms and short waits, as a test needs them.
PARAMS="--param min_servers=2 --param min_anonymity=3 --param warm_up=0 --param round_deadline_ms=20000"
DEPLOYMENT_ID=$(zipnetctl descriptor new --instance $INSTANCE --server $SERVER1 --server $SERVER2 --server $SERVER3 $PARAMS -o descriptor.json)
docs descriptor-install
remember INSTANCE BOOTSTRAP SERVER1 SERVER2 SERVER3 AGGREGATOR DEPLOYMENT_ID PARAMS

docs server-start
for n in 2 3; do
  cat >/etc/default/zipnet-server-$n <<END
ZIPNET_RELAY=$RELAY
ZIPNET_AGGREGATORS=$AGGREGATOR
ZIPNET_LISTEN=$ADDR:47${n}0
ZIPNET_UNIVERSE_LISTEN=$ADDR:47${n}1
ZIPNET_BOOTSTRAP=$BOOTSTRAP
END
  systemctl enable --quiet --now zipnet-server-$n
done
docs aggregator-start
for unit in zipnet-server zipnet-server-2 zipnet-server-3 zipnet-aggregator; do
  until_ok $LONG "$unit runs" systemctl is-active $unit
done
