"""Peers that vanish, and congestion control. Not here: peers that end in order."""

import base64
import hashlib
import re
import socket
import struct
import time

from lab import CLIENT, EDGE, EDGE_ORIGINS, ORIGIN, PORT, Crowd, Lab, Missing, command, median

CONGESTION, INFO = 13, 11


def vanish():
    """Clients whose host is gone without a FIN: frames to it end nowhere."""
    cases = (("idle, heartbeat 10 s", 10, b"/echo"),
             ("idle, heartbeat 300 s", 300, b"/echo"),
             ("a small message each second, heartbeat 300 s", 300, b"/ticker"))
    rows = []
    with Lab() as lab:
        ticker = Ticker(lab)
        lab.origin()
        edges, crowds = [], []
        for number, (_, heartbeat, path) in enumerate(cases):
            origins = ((ORIGIN, 81),) if path == b"/ticker" else ((ORIGIN, 80),)
            edge = lab.edge(origins=origins, heartbeat=heartbeat, port=PORT + number, admin=9100 + number)
            crowd = Crowd(lab, target=(EDGE, PORT + number), path=path)
            crowd.begin(1)
            while crowd.waiting:
                crowd.pump(0.1)
                ticker.turn()
            edges.append(edge)
            crowds.append(crowd)
        command("ip", "-n", lab.names["edge"], "neigh", "replace", CLIENT, "lladdr", "02:00:00:00:00:99", "dev", "edge-c",
                "nud", "permanent")
        since, found = time.monotonic(), {}
        while len(found) < len(cases) and time.monotonic() - since < 200:
            ticker.turn()
            for number, edge in enumerate(edges):
                ends = [entry for entry in edge.access() if entry["event"] == "close"]
                if ends and number not in found:
                    found[number] = (time.monotonic() - since, ends[0]["cause"])
            time.sleep(0.2)
        for number, (name, _, _) in enumerate(cases):
            seconds, cause = found.get(number, (float("inf"), "still open"))
            rows.append((name, f"{seconds:.0f} s", cause))
    return (("the tunnel", "noticed after", "cause in the access log"), rows,
            "All of `net.ipv4.tcp_keepalive_*` and `tcp_retries2` at the kernel's defaults (7,200 s and 15).")


class Ticker:
    """An origin that sends every client of it a small message each second."""

    def __init__(self, lab):
        self.listener = lab.socket("origins")
        self.listener.bind((ORIGIN, 81))
        self.listener.listen(16)
        self.listener.setblocking(False)
        self.open, self.new, self.next = [], [], 0.0

    def turn(self):
        try:
            one, _ = self.listener.accept()
            one.settimeout(1)
            self.new.append(one)
        except BlockingIOError:
            pass
        for one in list(self.new):
            head = one.recv(4096)
            if not head:
                self.new.remove(one)
                continue
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
            if not key:
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            one.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
            self.new.remove(one)
            self.open.append(one)
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            for one in list(self.open):
                try:
                    one.sendall(b"\x82\x20" + bytes(32))
                except OSError:
                    self.open.remove(one)


def idle_window():
    """The congestion window after two seconds without a byte."""
    rows = []
    with Lab() as lab:
        for control in ("cubic", "bbr"):
            for setting in (1, 0):
                lab.sysctl("edge", "net.ipv4.tcp_slow_start_after_idle", setting)
                rows.append((f"`{control}`", setting, *window(lab, control)))
    return (("congestion control", "`tcp_slow_start_after_idle`", "window after 8 MB",
             "after two idle seconds and 100 kB more"), rows,
            "In segments. The wire of the lab has no delay, so what a reset window costs in time is not shown here.")


def window(lab, control):
    sender, sink = lab.socket("edge"), lab.socket("clients")
    listener = lab.socket("clients")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((CLIENT, 0))
    listener.listen(1)
    sender.setsockopt(socket.IPPROTO_TCP, CONGESTION, control.encode())
    sender.connect(listener.getsockname())
    sink, _ = listener.accept()

    def send(count):
        sender.setblocking(False)
        while count:
            try:
                count -= sender.send(bytes(min(count, 65536)))
            except BlockingIOError:
                sink.recv(1 << 20)
        sink.setblocking(False)
        time.sleep(0.2)
        try:
            while sink.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        sink.setblocking(True)

    send(8 << 20)
    warm = segments(sender)
    time.sleep(2)
    send(100_000)
    return warm, segments(sender)


def segments(one):
    return struct.unpack_from("I", one.getsockopt(socket.IPPROTO_TCP, INFO, 200), 80)[0]


def congestion():
    """The edge's processor time for one echo, with sockets of either kind, in turn."""
    costs = {"cubic": [], "bbr": []}
    with Lab() as lab:
        if "bbr" not in lab.sysctl("edge", "net.ipv4.tcp_available_congestion_control"):
            raise Missing("this kernel has no bbr (modprobe tcp_bbr)")
        lab.origin()
        edge, loads = lab.edge(workers=1), {}
        for control in costs:
            for device, wire in (("edge-c", EDGE), ("edge-o", EDGE_ORIGINS)):
                # By route, as it may be set towards clients alone; the sysctl wants a kernel that allows both to namespaces.
                command("ip", "-n", lab.names["edge"], "route", "replace", f"{wire.rsplit('.', 1)[0]}.0/24", "dev", device,
                        "src", wire, "congctl", control)
            loads[control] = lab.clients()
            loads[control].ask("open 100")
            if f" {control} " not in lab.run("edge", "ss", "-HOtni", "state", "established", "dst", CLIENT):
                raise Missing(f"the route's congestion control {control} is not taken")
        for turn in range(20):
            for control in costs if turn % 2 else reversed(costs):
                costs[control].append(cost(edge, loads[control]))
    base = median(costs["cubic"])
    rows = [(f"`{name}`", median(each), min(each), max(each), median(each) / base) for name, each in costs.items()]
    return (("congestion control of the edge", "µs for one echo, median", "least", "most", "of `cubic`"), rows,
            "64-byte echoes on 100 connections, 20 rounds of 0.3 s each in turn; time of the edge's threads, kernel included.")


def cost(edge, clients):
    """Microseconds of the edge for one echo."""
    before = clients.ask("status")["echoed"]
    clients.ask("pingpong 64")
    time.sleep(0.1)
    spent = -edge.cpu_ns()
    begun = clients.ask("status")["echoed"]
    time.sleep(0.3)
    spent += edge.cpu_ns()
    done = clients.ask("status")["echoed"] - begun
    assert clients.ask("stop")["echoed"] > before
    return spent / done / 1000


PROOFS = {"vanish": vanish, "idle-window": idle_window, "congestion": congestion}
