"""tuning/affinity on an interface with two queues. Not here: interrupts, network cards, NUMA: namespaces have none."""

from lab import TOP, Lab


FILES = ("tx-0/xps_cpus", "tx-1/xps_cpus", "rx-0/rps_cpus", "rx-1/rps_cpus")


def affinity():
    script, rows = str(TOP / "tuning" / "affinity"), []
    with Lab() as lab:
        def sysfs(*words):
            # `ip netns exec` mounts the namespace's own /sys.
            return lab.run("clients", "ip", "netns", "exec", lab.names["edge"], *words)

        def state():
            queues = "/sys/class/net/edge-c/queues"
            return [sysfs("cat", f"{queues}/{name}").strip() for name in FILES]

        rows.append(("before", *state()))
        said = sysfs(script, "--dry-run", "--rps", "--cpus", "0-1", "edge-c")
        rows.append((f"`--dry-run --rps` ({len(said.splitlines())} lines)", *state()))
        sysfs(script, "--rps", "--cpus", "0-1", "edge-c")
        rows.append(("`--rps`", *state()))
        sysfs(script, "--undo", "edge-c")
        rows.append(("`--undo`", *state()))
    return (("`tuning/affinity` with `--cpus 0-1`", *(f"`{name}`" for name in FILES)), rows,
            "On a veth pair with two queues; it has no interrupts.")


PROOFS = {"affinity": affinity}
