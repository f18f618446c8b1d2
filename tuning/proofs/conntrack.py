"""Connection tracking: what it costs, what happens when its table is full, and the bypass. Not here: the table's size, which
belongs to the whole host and is only read."""

import pathlib
import subprocess
import time

from lab import CLIENT, PORT, TOP, Crowd, Lab, Missing, command, median, needs, slabs
from peers import cost

TRACKED = "table inet firewall {\n chain in { type filter hook input priority 0; ct state invalid drop; }\n}\n"


def bypass():
    text = (TOP / "tuning" / "conntrack-bypass.nft").read_text()
    text = text.replace("client_ports = { 80, 443 }", f"client_ports = {{ {PORT} }}")
    return text.replace("origin_ports = { 8080 }", "origin_ports = { 80 }")


def entries(lab):
    with lab.inside("edge"):
        return int(pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


def load(lab, text):
    lab.run("edge", "nft", "-f", "-", stdin=text)


def tracking():
    """Entries and processor time with a firewall that tracks, without one, and with the bypass."""
    needs("nft", "nftables")
    rules = {"none": "flush ruleset\n", "tracking": "flush ruleset\n" + TRACKED,
             "tracking, with the bypass": "flush ruleset\n" + TRACKED + bypass()}
    found, costs = {}, {name: [] for name in rules}
    with Lab() as lab:
        lab.origin()
        edge = lab.edge(workers=1)
        for name, text in rules.items():
            load(lab, text)
            before = entries(lab)
            crowd = Crowd(lab)
            crowd.begin(1_000)
            crowd.pump(20)
            found[name] = (len(crowd.open), entries(lab) - before)
            crowd.close()
        clients = lab.clients()
        clients.ask("open 100")
        for turn in range(15):
            names = list(rules)
            for name in names[turn % 3:] + names[:turn % 3]:
                load(lab, rules[name])
                costs[name].append(cost(edge, clients))
    size = slabs("nf_conntrack").get("nf_conntrack", (0, 0))[1]
    base = median(costs["none"])
    rows = [(name, *found[name], median(each), min(each), max(each), median(each) / base) for name, each in costs.items()]
    return (("rules of the edge", "tunnels opened", "entries", "µs for one echo, median", "least", "most", "of none"), rows,
            f"An entry is {size} bytes. 64-byte echoes on 100 connections, 15 rounds of 0.3 s each in turn.")


def full():
    """A table full of connections that live, and then 100 tunnels."""
    needs("nft", "nftables")
    needs("conntrack", "conntrack")
    most = int(pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    if most > 1_000_000:
        raise Missing(f"nf_conntrack_max is {most}: filling it would take this host's memory")
    rows = []
    for name, rules in (("tracking", TRACKED), ("tracking, with the bypass", TRACKED + bypass())):
        with Lab() as lab:
            lab.origin()
            lab.edge()
            load(lab, "flush ruleset\n" + rules)
            invented = (f"10.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(most))
            lines = (f"-A -t 600 -u ASSURED,SEEN_REPLY -s {client} -d 10.77.1.1 -r 10.77.1.1 -q {client} -p tcp --sport 5000 "
                     "--dport 443 --reply-port-src 443 --reply-port-dst 5000 --state ESTABLISHED\n" for client in invented)
            table = lab.folder / "table"
            table.write_text("".join(lines))
            with lab.inside("edge"):
                subprocess.run(["conntrack", "-R", table], capture_output=True)
            held = entries(lab)
            crowd = Crowd(lab)
            crowd.begin(100)
            crowd.pump(5)
            rows.append((name, held, most, f"{len(crowd.open)} of 100", dropped(lab)))
            crowd.close(properly=False)
    return (("rules of the edge", "entries", "`nf_conntrack_max`", "tunnels within 5 s", "packets dropped"), rows,
            "The table is filled with entries of invented connections (`conntrack -R`).")


def dropped(lab):
    """Of all processors, by /proc/net/stat/nf_conntrack."""
    with lab.inside("edge"):
        lines = pathlib.Path("/proc/thread-self/net/stat/nf_conntrack").read_text().splitlines()
    place = lines[0].split().index("drop")
    return sum(int(line.split()[place], 16) for line in lines[1:])


PROOFS = {"tracking": tracking, "full-table": full}
