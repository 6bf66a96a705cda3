# The machine goes down with a message queued.
systemctl disable --quiet --now zipnet-aggregator
as alice zipnetctl send --ttl 1h "survives the reboot" >rebooted
touch "done/$PART"
sync
systemctl reboot
sleep infinity
