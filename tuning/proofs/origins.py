"""Connections from the edge to origins: ports, TIME_WAIT. Not here: what origins answer."""

import errno
import socket
import time

from lab import EDGE_ORIGINS, ORIGIN, Crowd, Lab

OTHER_ORIGIN, OTHER_SOURCE = "10.77.2.4", "10.77.2.3"
NO_PORT = 24


def ports():
    """1,500 tunnels with 1,000 ports."""
    rows = []
    cases = (("one origin, one source address", ((ORIGIN, 80),), ()),
             ("two origins", ((ORIGIN, 80), (OTHER_ORIGIN, 80)), ()),
             ("one origin, two `source_addresses`", ((ORIGIN, 80),), (EDGE_ORIGINS, OTHER_SOURCE)))
    for name, origins, sources in cases:
        with Lab() as lab:
            lab.sysctl("edge", "net.ipv4.ip_local_port_range", "40000 40999")
            lab.address("edge", "edge-o", OTHER_SOURCE)
            lab.address("origins", "wire", OTHER_ORIGIN)
            for address, port in origins:
                lab.origin(address, port)
            edge = lab.edge(origins=origins, sources=sources)
            crowd = Crowd(lab)
            for _ in range(15):
                crowd.begin(100)
                crowd.pump(10)
            said = {entry["detail"] for entry in edge.access() if entry.get("detail")}
            ends = ", ".join(f"{count} x {why}" for why, count in crowd.ends.items()) or "none"
            rows.append((name, len(crowd.open), ends, "; ".join(sorted(said)) or "nothing"))
            crowd.close(properly=False)
    return (("1,500 tunnels wanted, 1,000 ports", "open", "refused", "access log"), rows, "")


def no_port():
    """Sockets that are bound to an address first, as a proxy with several source addresses has to."""
    rows = []
    for early in (True, False):
        with Lab() as lab:
            lab.sysctl("edge", "net.ipv4.ip_local_port_range", "40000 40999")
            targets = []
            for port in (80, 81):
                listener = lab.socket("origins")
                listener.bind((ORIGIN, port))
                listener.listen(4096)
                targets.append((ORIGIN, port))
            made, why = connect_all(lab, targets, early)
            rows.append(("no" if early else "yes", made, why))
    return (("`IP_BIND_ADDRESS_NO_PORT`", "connections of 2,500 wanted, to two origins with 1,000 ports", "then"), rows, "")


def connect_all(lab, targets, early):
    made = 0
    for number in range(2_500):
        one = lab.socket("edge")
        if not early:
            one.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
        try:
            one.bind((EDGE_ORIGINS, 0))
            one.connect(targets[number % 2])
        except OSError as error:
            return made, errno.errorcode[error.errno]
        made += 1
    return made, "all"


def time_wait():
    """Tunnels that come and go faster than TIME_WAIT ends, 1,000 ports towards the origin."""
    rows = []
    for farewell, reuse in ((True, 2), (False, 0), (False, 2), (False, 1)):
        with Lab() as lab:
            lab.sysctl("edge", "net.ipv4.ip_local_port_range", "40000 40999")
            lab.sysctl("edge", "net.ipv4.tcp_tw_reuse", reuse)
            lab.origin()
            lab.edge()
            before = lab.counters("edge")
            opened, ends = churn(lab, farewell)
            after = lab.counters("edge")
            waiting = lab.count("edge", "time-wait", "dst", ORIGIN)
            refused = ", ".join(f"{count} x {why}" for why, count in ends.items()) or "none"
            how = "Close frame" if farewell else "gone without one"
            rows.append((how, reuse, opened, refused, waiting, after["TWRecycled"] - before["TWRecycled"]))
    return (("client's end", "`tcp_tw_reuse`", "opened of 2,500", "refused", "TIME_WAIT towards the origin",
             "reused (TWRecycled)"), rows, "1,000 ports, 250 tunnels a second for ten seconds.")


def churn(lab, farewell):
    opened, ends, due = 0, {}, time.monotonic()
    for _ in range(25):
        crowd = Crowd(lab)
        crowd.begin(100)
        crowd.pump(10)
        opened += len(crowd.open)
        for why, count in crowd.ends.items():
            ends[why] = ends.get(why, 0) + count
        crowd.close(properly=farewell)
        due += 0.4
        time.sleep(max(0, due - time.monotonic()))
    return opened, ends


PROOFS = {"ports": ports, "no-port": no_port, "time-wait": time_wait}
