# A daemon whose loop does not turn is ended by the watchdog and started again. It is stopped whole, so that nothing feeds it. The
# units' minute is too long for a test.
mkdir -p /run/systemd/system/zipnetd.service.d
printf '[Service]\nWatchdogSec=10\n' >/run/systemd/system/zipnetd.service.d/test.conf
systemctl daemon-reload
systemctl restart zipnetd
pid=$(main_pid zipnetd)
kill -STOP "$pid"
until_ok $LONG "the watchdog acts" sh -c 'journalctl -b -u zipnetd --no-pager | grep -q "Watchdog timeout"'
until_ok $LONG "another process runs" another_pid zipnetd "$pid"
until_ok $LONG "it answers" zipnetctl status
until_ok $LONG "it takes part" ready
rm -r /run/systemd/system/zipnetd.service.d
systemctl daemon-reload
