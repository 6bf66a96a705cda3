# Settings that a reload takes over; and those that are secrets, as an encrypted credential.
sed -i 's/^#cadence = .*/cadence = 2/' /etc/zipnet/zipnetd.toml
docs reload
reloaded() { journalctl -b -t zipnetd -o json --no-pager | jq -e 'select(.MESSAGE == "reloaded" and .ZIPNET_CADENCE == "2")'; }
until_ok $LONG "the reload is in the journal" reloaded
sed -i 's/^cadence = .*/#cadence = 1/' /etc/zipnet/zipnetd.toml

install -m 600 /etc/zipnet/second.toml /etc/zipnet/secret.toml
echo 'message = "a standing message"' >>/etc/zipnet/secret.toml
mkdir -p /etc/credstore.encrypted /etc/systemd/system/zipnetd@second.service.d
systemd-creds encrypt --name=zipnetd.toml /etc/zipnet/secret.toml /etc/credstore.encrypted/zipnetd.toml 2>/dev/null
cat >/etc/systemd/system/zipnetd@second.service.d/secret.conf <<'END'
[Service]
LoadCredentialEncrypted=zipnetd.toml:/etc/credstore.encrypted/zipnetd.toml
ExecStart=
ExecStart=/usr/bin/zipnetd --config %d/zipnetd.toml
END
rm /etc/zipnet/secret.toml
systemctl daemon-reload
systemctl restart zipnetd@second
appears() { [ "$(published 'a standing message')" -gt 0 ]; }
until_ok $LONG "the message of the encrypted credential is published" appears
rm -r /etc/systemd/system/zipnetd@second.service.d
systemctl daemon-reload
systemctl restart zipnetd@second
