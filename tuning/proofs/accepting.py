"""What happens to connections before a worker takes them. Not here: those that it has taken."""

import signal
import socket
import time

from lab import EDGE, PORT, Crowd, Lab, await_, flood, median


def backlog():
    """3,000 clients within a moment in which the workers are busy elsewhere (stopped) for a second."""
    rows = []
    for limit, abort in ((128, 1), (128, 0), (1024, 0), (4096, 0), (65535, 0)):
        with Lab() as lab:
            lab.sysctl("edge", "net.ipv4.tcp_abort_on_overflow", abort)
            lab.sysctl("edge", "net.core.somaxconn", limit)
            lab.origin()
            edge = lab.edge()
            queues = {line.split()[2] for line in lab.run("edge", "ss", "-Hltn", f"sport = :{PORT}").splitlines()}
            before = lab.counters("edge")
            edge.signal(signal.SIGSTOP)
            crowd = Crowd(lab)
            crowd.begin(3_000)
            crowd.pump(1)
            edge.signal(signal.SIGCONT)
            crowd.pump(30)
            after = lab.counters("edge")
            waits = sorted(crowd.latencies)
            rows.append((limit, abort, " ".join(sorted(queues)), after["ListenOverflows"] - before["ListenOverflows"],
                         len(waits), crowd.ends.get("ConnectionResetError", 0), f"{median(waits):.1f} s", f"{waits[-1]:.1f} s"))
            crowd.close(properly=False)
    return (("`somaxconn`", "`tcp_abort_on_overflow`", "queue of each worker (`ss -ltn`)", "ListenOverflows", "answered",
             "reset", "median", "slowest"), rows, "3,000 clients at once, two workers that stand still for one second.")


def syn():
    """More half-open connections than a queue holds, and then 50 real clients."""
    rows = []
    for cookies, half_open in ((1, 128), (1, 65535), (0, 128), (0, 65535)):
        with Lab() as lab:
            lab.sysctl("edge", "net.core.somaxconn", 1024)
            lab.sysctl("edge", "net.ipv4.tcp_syncookies", cookies)
            lab.sysctl("edge", "net.ipv4.tcp_max_syn_backlog", half_open)
            lab.origin()
            lab.edge()
            before = lab.counters("edge")
            flood(lab, 0, 5_000)
            held = lab.count("edge", "syn-recv")
            sent = lab.counters("edge")["SyncookiesSent"] - before["SyncookiesSent"]
            crowd = Crowd(lab)
            crowd.begin(50)
            for moment in range(30):
                flood(lab, 5_000 + 500 * moment, 500)
                crowd.pump(0.1)
            rows.append((cookies, half_open, held, sent, f"{len(crowd.open)} of 50"))
            crowd.close(properly=False)
    return (("`tcp_syncookies`", "`tcp_max_syn_backlog`", "half-open held", "cookies sent", "real clients served within 3 s"),
            rows, "5,000 SYNs of clients that do not exist at once and 5,000 more each second, two workers with queues of 1,024 "
            "each.")


def migrate():
    """400 connections wait in two queues; the owner of one closes it."""
    rows = []
    for setting in (0, 1):
        with Lab() as lab:
            lab.sysctl("edge", "net.ipv4.tcp_migrate_req", setting)
            listeners = []
            for _ in range(2):
                listener = lab.socket("edge")
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind((EDGE, PORT))
                listener.listen(1024)
                listeners.append(listener)
            made = [lab.socket("clients") for _ in range(400)]
            for one in made:
                one.connect((EDGE, PORT))
                one.sendall(b"?")
            before = lab.counters("edge")
            listeners[0].close()
            time.sleep(0.5)
            reset = 0
            for one in made:
                one.setblocking(False)
                try:
                    one.recv(1)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    reset += 1
            after = lab.counters("edge")
            moved = after.get("TCPMigrateReqSuccess", 0) - before.get("TCPMigrateReqSuccess", 0)
            answered, lost = two_edges(lab)
            rows.append((setting, f"{reset} of 400", moved, answered, lost.get("ConnectionResetError", 0), lost.get("503", 0)))
    return (("`tcp_migrate_req`", "bare listeners: reset when one closes", "moved (TCPMigrateReqSuccess)",
             "Hawser, 20 stops: upgrades", "of them reset", "of them answered 503"), rows,
            "Left: two bare listeners on one port, 400 connections waiting, one listener closes. Right: two Hawser processes "
            "on one port, one of which comes and goes; it serves its queue before it closes, so that only handshakes of that "
            "very moment are left to be reset. An upgrade that it took but cannot carry any more gets 503, whatever the setting.")


def two_edges(lab, stops=20):
    """One edge stays, another one comes and goes, while clients ask without a pause."""
    lab.origin()
    lab.edge(port=PORT + 1)
    asked, lost = 0, {}
    for _ in range(stops):
        going = lab.edge(port=PORT + 1, admin=9101)
        going.signal(signal.SIGTERM)
        crowd = Crowd(lab, target=(EDGE, PORT + 1))
        while going.process.poll() is None:
            crowd.begin(20)
            crowd.pump(5)
            asked += 20
            crowd.close(properly=False)
        for why, count in crowd.ends.items():
            lost[why] = lost.get(why, 0) + count
    return asked, lost


def spread():
    """How evenly the kernel deals connections out to workers."""
    rows = []
    for workers in (2, 8, 32):
        for connections in (1_000, 8_000):
            with Lab() as lab:
                lab.origin()
                edge = lab.edge(workers=workers)
                clients = lab.clients()
                clients.ask(f"open {connections}")
                await_(lambda: sum(edge.metrics("hawser_tunnels").values()) >= connections, "all tunnels", 10)
                each = list(edge.metrics("hawser_tunnels").values())
                even = connections / workers
                rows.append((workers, connections, int(min(each)), int(max(each)), max(each) / even))
    return (("workers", "tunnels", "fewest", "most", "most / even share"), rows, "One client address.")


PROOFS = {"backlog": backlog, "syn": syn, "migrate": migrate, "spread": spread}
