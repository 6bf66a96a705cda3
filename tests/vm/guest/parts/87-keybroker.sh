# The key broker, as the page for operators says.
key=$(runuser -u zipnet-keybroker -- zipnet-keybroker init --state-dir /var/lib/zipnet-keybroker) || fail "zipnet-keybroker init"
[ ${#key} = 64 ] || fail "its key is '$key'"
digits=$(printf '0%.0s' $(seq 96))
printf '[[release]]\nname = "1"\nmrtd = "%s"\nrtmr1 = "%s"\nrtmr2 = "%s"\n' "$digits" "$digits" "$digits" >/etc/zipnet/keybroker-policy.toml
cp /test/collateral.json /etc/zipnet/keybroker-collateral.json
systemctl start zipnet-keybroker
listens() { journalctl -u zipnet-keybroker --no-pager | grep -q "public key $key"; }
until_ok $LONG "the key broker listens" listens
pid=$(main_pid zipnet-keybroker)
systemctl kill -s KILL zipnet-keybroker
until_ok $LONG "the key broker was started again" another_pid zipnet-keybroker "$pid"
systemctl stop zipnet-keybroker
