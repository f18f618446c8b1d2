# Sourced by the scripts beside it: release builds of the proxy and of the load generator, then $programs and $first.
set -eu
cd "$(dirname "$0")/.."
cargo build --release -p hawser -p hawser-loadtest
programs=${CARGO_TARGET_DIR:-target}/release
ulimit -n "$(ulimit -Hn)"
# Ahead of what else the machine does, where that is allowed: a measurement on a busy machine then counts less of it.
first=
if nice -n -20 true 2>/dev/null && [ "$(nice -n -20 nice 2>/dev/null)" = -20 ]; then first="nice -n -20"; fi
