# The journal has our fields, with the right priorities.
entries() { journalctl -u zipnetd -o json --no-pager | jq -c "select(.SYSLOG_IDENTIFIER == \"zipnetd\" and ($1))"; }
[ -n "$(entries '.MESSAGE == "registered" and .PRIORITY == "6" and (.ZIPNET_ROUND | tonumber) > 0')" ] ||
  fail "no entry 'registered' with ZIPNET_ROUND at priority 6: $(entries true | head -3)"
[ -z "$(entries '(.PRIORITY | tonumber) <= 4')" ] || fail "a healthy run complains: $(entries '(.PRIORITY | tonumber) <= 4')"
! journalctl -t zipnetd -t zipnet-server -t zipnet-aggregator -o json --no-pager | grep -q 'hello from alice' || fail "the journal has a message"
for unit in zipnet-server zipnet-aggregator; do
  [ -n "$(journalctl -u $unit --no-pager -o json | jq -c "select(.SYSLOG_IDENTIFIER == \"$unit\")" | head -1)" ] || fail "nothing of $unit in the journal"
done
