# Sourced by the scripts beside it: release builds of the proxy and of the load generator, then `scenario NAME OPTIONS`.
set -eu
cd "$(dirname "$0")/.."
cargo build --release -p hawser -p hawser-loadtest
programs=${CARGO_TARGET_DIR:-target}/release
ulimit -n "$(ulimit -Hn)"

# Runs in a scheduling group of its own, ahead of what else the machine does, where that is allowed: otherwise a busy machine
# takes the load's core away now and then, and the proxy's batches change.
scenario() {
    if [ -w /proc/self/autogroup ] && command -v setsid >/dev/null; then
        exec setsid -w sh -c '{ echo -20 >/proc/self/autogroup; } 2>/dev/null; exec "$@"' sh "$programs/hawser-loadtest" "$@"
    fi
    exec "$programs/hawser-loadtest" "$@"
}

# Runs the rest of the line beside this shell, so that Ctrl-C reaches what has a session of its own; its result is the shell's.
until_signal() {
    "$@" &
    running=$!
    trap 'kill -TERM "$running" 2>/dev/null' INT TERM HUP
    wait "$running" && exit 0
    # A signal to this shell ends the wait, not what it waits for.
    result=$?
    while kill -0 "$running" 2>/dev/null; do
        wait "$running"
        result=$?
    done
    exit "$result"
}
