#!/usr/bin/env bash
# The Debian packages zipnetd, zipnet-server and zipnet-aggregator, of binaries that were built before:
#   cargo build --release --workspace && systemd/package.sh [FOLDER]
# Needs cargo-deb (`cargo install cargo-deb --locked`). They come into FOLDER, target/debian unless it is named.
set -euo pipefail
out=$(realpath -m "${1:-$(dirname "$0")/../target/debian}")
cd "$(dirname "$0")/.."

for program in zipnetd zipnetctl zipnet-server zipnet-aggregator man-pages; do
  [ -x "target/release/$program" ] || {
    echo "target/release/$program is missing: cargo build --release --workspace" >&2
    exit 1
  }
done

# Of the binary that goes into the package.
pages=target/pages
rm -rf "$pages"
mkdir -p "$pages/man" "$out"
target/release/zipnetctl man --dir "$pages/man"
target/release/man-pages "$pages/man"
target/release/zipnetctl completions bash >"$pages/zipnetctl.bash"
target/release/zipnetctl completions zsh >"$pages/_zipnetctl"
target/release/zipnetctl completions fish >"$pages/zipnetctl.fish"

for crate in zipnetd zipnet-committee zipnet-aggregator; do
  cargo deb --no-build --locked -p "$crate" --output "$out/"
done
