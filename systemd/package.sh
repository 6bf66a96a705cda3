#!/usr/bin/env bash
# The Debian packages zipnetd, zipnet-server, zipnet-aggregator, zipnet-quote and zipnet-keybroker: systemd/package.sh [FOLDER]
# Needs cargo-deb and cargo-auditable (`cargo install --locked cargo-deb cargo-auditable`). They come into FOLDER, target/debian
# unless it is named. Each program carries the list of the crates it is made of, which `cargo audit bin FILE` reads.
set -euo pipefail
out=$(realpath -m "${1:-$(dirname "$0")/../target/debian}")
cd "$(dirname "$0")/.."

# The whole workspace: with fewer packages, cargo would select other features and compile everything anew.
cargo auditable build --release --locked --workspace --bins

# Of the binary that goes into the package.
pages=target/pages
rm -rf "$pages"
mkdir -p "$pages/man" "$out"
target/release/zipnetctl man --dir "$pages/man"
target/release/man-pages "$pages/man"
target/release/zipnetctl completions bash >"$pages/zipnetctl.bash"
target/release/zipnetctl completions zsh >"$pages/_zipnetctl"
target/release/zipnetctl completions fish >"$pages/zipnetctl.fish"

for crate in zipnetd zipnet-committee zipnet-aggregator zipnet-tdx; do
  cargo deb --no-build --locked -p "$crate" --output "$out/"
done
cargo deb --no-build --locked -p zipnet-tdx --variant keybroker --output "$out/"
