# A server's key: backed up, lost and put back; then the whole server moved, to the same host.
BACKUP=/root/backup
mkdir -p $BACKUP
docs server-key-backup
rm /var/lib/zipnet-server/identity.key
docs server-key-restore >id.log
[ "$(tail -1 id.log)" = $SERVER1 ] || fail "with the key put back it is $(tail -1 id.log), not $SERVER1"
until_ok $LONG "the server with its key put back takes part" all_servers
NEW_HOST=here
docs server-move
[ ! -e /var/lib/zipnet-server ] || fail "the old server's folder is still there"
docs server-moved
until_ok $LONG "the server that moved takes part" all_servers
