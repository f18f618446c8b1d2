"""Memory that connections take in the kernel and in Hawser, and descriptors. Not here: slopes of Hawser's own memory
(loadtest/)."""

import ctypes
import json
import os
import pathlib
import re
import struct
import subprocess
import time

from lab import EDGE, LIBC, ORIGIN, PORT, Crowd, Lab, Missing, median, program, slabs

SOCKET = ("TCP", "sock_inode_cache", "filp", "dentry")
# Of what these hold, only Hawser's ring makes so many: each armed receive is a request, its poll and its address.
RING = ("io_kiocb", "kmalloc-512", "kmalloc-96")
PROCESS_MADVISE, MADV_COLLAPSE = 440, 25
HUGE = 2 << 20


def sockets():
    """What idle tunnels take of the kernel, all four sockets of each."""
    with Lab() as lab:
        lab.origin()
        lab.edge()
        clients = lab.clients()
        clients.ask("open 1000")
        few, few_tcp = settled(), tcp_pages()
        clients.ask("open 9000")
        many, many_tcp = settled(), tcp_pages()
    rows, total = [], 0.0
    for cache in SOCKET + RING:
        if cache not in many:
            continue
        objects = (many[cache][0] - few[cache][0]) / 8_000
        # Two sockets of the four are the edge's.
        own = objects / 2 if cache in SOCKET else objects
        total += own * many[cache][1]
        of = "two sockets of four" if cache in SOCKET else "two armed receives"
        rows.append((f"`{cache}`", of, many[cache][1], f"{own:.2f}", own * many[cache][1]))
    rows.append(("all of these", "", "", "", total))
    rows.append(("queued data (`mem` in `/proc/net/sockstat`)", "", "", "", (many_tcp - few_tcp) * 4096 / 8_000 / 2))
    return (("slab", "of", "bytes of an object", "objects for each tunnel", "bytes for each tunnel"), rows,
            "The edge's part of one tunnel, from 1,000 to 9,000 idle ones.")


def settled():
    """The slabs once what set-up left is freed."""
    time.sleep(2)
    return slabs(*SOCKET, *RING)


def tcp_pages():
    text = pathlib.Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP:.* mem (\d+)", text, re.M)[1])


KERNEL = {"net.ipv4.tcp_rmem": "4096 131072 6291456", "net.ipv4.tcp_wmem": "4096 16384 4194304",
          "net.ipv4.tcp_notsent_lowat": 4294967295}


def slow_readers():
    """200 clients that do not read, and origins that push as fast as they can."""
    rows = []
    for name, changed in (("kernel's defaults", {}),
                          ("`tcp_notsent_lowat` 131072", {"net.ipv4.tcp_notsent_lowat": 131072}),
                          ("`tcp_notsent_lowat` 16384", {"net.ipv4.tcp_notsent_lowat": 16384}),
                          ("`tcp_rmem` 4096 32768 4194304", {"net.ipv4.tcp_rmem": "4096 32768 4194304"}),
                          ("both, as in 90-hawser.conf", {"net.ipv4.tcp_notsent_lowat": 131072,
                                                          "net.ipv4.tcp_rmem": "4096 32768 4194304"})):
        once = sorted(slow_reader({**KERNEL, **changed}) for _ in range(3))
        both = f"{min(map(sum, once)):,.0f} to {max(map(sum, once)):,.0f}"
        rows.append((name, *(median(column) for column in zip(*once)), both))
    return (("setting", "bytes queued towards a client", "bytes received and not read, of its origin", "both, least to most"),
            rows, "Kernel memory of the edge for one such client (`ss -tm`: `w` and `r`), 200 of them, 4 s after their start; "
            "median of three.")


def slow_reader(settings):
    with Lab() as lab:
        for setting, value in settings.items():
            lab.sysctl("edge", setting, value)
        lab.origin()
        lab.edge()
        clients = lab.clients(path="/firehose", silent=True)
        clients.ask("open 200")
        time.sleep(4)
        return tuple(total / 200 for total in queued(lab))


def queued(lab):
    totals = [0, 0]
    for line in lab.run("edge", "ss", "-HOtnm", "state", "established").splitlines():
        found = re.search(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)", line)
        if found:
            if f"{EDGE}:{PORT}" in line:
                totals[0] += int(found[2])
            elif f"{ORIGIN}:80" in line:
                totals[1] += int(found[1])
    return totals


def descriptors():
    """What Hawser says of a limit, what doctor says of it, and what happens there."""
    rows = []
    for limit in (512, 2_048, 20_000):
        with Lab() as lab:
            lab.origin()
            edge = lab.edge(limit=limit)
            said = next(line["message"] for line in map(json.loads, edge.output().splitlines())
                        if "descriptors allow" in line["message"])
            crowd = Crowd(lab)
            for _ in range(30):
                crowd.begin(100)
                crowd.pump(5)
            ends = ", ".join(f"{count} x {why}" for why, count in crowd.ends.items()) or "none"
            with lab.inside("edge"):
                report = doctor(edge, 3_000)
            item = next(item for item in report["items"] if item["name"].startswith("LimitNOFILE"))
            rows.append((limit, said, f"{item['state']}: {report['connections']['allowed']:,} by {report['connections']['by']}",
                         len(crowd.open), ends))
            crowd.close(properly=False)
    return (("`LimitNOFILE`", "Hawser at its start", "`hawser doctor --connections 3000`", "open of 3,000", "refused"),
            rows, "")


def doctor(edge, connections):
    done = subprocess.run([program("hawser"), "doctor", "-c", str(edge.folder / "hawser.toml"), "--connections",
                           str(connections), "--json"], capture_output=True, text=True)
    return json.loads(done.stdout)


def huge_pages():
    """What khugepaged makes of Hawser's memory under `always`, done at once by MADV_COLLAPSE."""
    rows = []
    for tunnels in (0, 2_000, 8_000):
        with Lab() as lab:
            lab.origin()
            edge = lab.edge()
            clients = lab.clients()
            clients.ask(f"open {tunnels}")
            time.sleep(2)
            before = edge.rollup("Pss_Anon")
            collapsed = collapse(edge.pid)
            rows.append((tunnels, before, edge.rollup("Pss_Anon"), edge.rollup("AnonHugePages"), collapsed))
    return (("idle tunnels", "anonymous memory, no huge pages", "after collapse", "of it huge", "huge pages made"), rows,
            "Every 2 MiB of the heap in which at least one page was touched is made one huge page, as khugepaged does it in "
            "time when `enabled` is `always` and `max_ptes_none` has its default.")


def collapse(pid):
    handle = ctypes.c_int(LIBC.syscall(434, pid, 0)).value
    if handle < 0:
        raise Missing("pidfd_open is refused")
    made = 0
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        begin, end = (int(part, 16) for part in words[0].split("-"))
        private = words[1].startswith("rw") and words[1].endswith("p") and words[4] == "0"
        for at in range(-(-begin // HUGE) * HUGE, end - HUGE + 1, HUGE) if private else ():
            vector = struct.pack("QQ", at, HUGE)
            made += LIBC.syscall(PROCESS_MADVISE, handle, vector, ctypes.c_size_t(1), MADV_COLLAPSE, 0) == HUGE
    os.close(handle)
    return made


PROOFS = {"sockets": sockets, "slow-readers": slow_readers, "descriptors": descriptors, "huge-pages": huge_pages}
