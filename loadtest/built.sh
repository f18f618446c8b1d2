# Sourced by the scripts beside it: release builds of the proxy and of the load generator, then `scenario NAME OPTIONS`.
set -eu
cd "$(dirname "$0")/.."
cargo build --release -p hawser -p hawser-loadtest
programs=${CARGO_TARGET_DIR:-target}/release
ulimit -n "$(ulimit -Hn)"

# Runs in a scheduling group of its own, ahead of what else the machine does, where that is allowed: otherwise a busy machine
# takes the load's core away now and then, and the proxy's batches change.
ahead() {
    if [ -w /proc/self/autogroup ] && command -v setsid >/dev/null; then
        exec setsid -w sh -c '{ echo -20 >/proc/self/autogroup; } 2>/dev/null; exec "$@"' sh "$programs/hawser-loadtest" "$@"
    fi
    exec "$programs/hawser-loadtest" "$@"
}

# Runs a scenario beside this shell, since Ctrl-C does not reach what has a session of its own, and ends the shell with its
# result. What it writes to temporary folders goes with it, however it ends.
scenario() {
    TMPDIR=$(mktemp -d)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    ahead "$@" &
    running=$!
    trap 'kill -TERM "$running" 2>/dev/null' INT TERM HUP
    result=0
    wait "$running" || result=$?
    # A signal to this shell ends the wait, not what it waits for.
    while kill -0 "$running" 2>/dev/null; do
        result=0
        wait "$running" || result=$?
    done
    exit "$result"
}
