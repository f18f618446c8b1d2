"""Three network namespaces (clients, edge, origins) and what runs in them: Hawser, the load generator, and sockets of this
process. All of it is gone when the lab closes. Not here: what is shown with it."""

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
TOP = pathlib.Path(__file__).resolve().parents[2]
CLIENT, EDGE, EDGE_ORIGINS, ORIGIN = "10.77.1.2", "10.77.1.1", "10.77.2.1", "10.77.2.2"
LOOPBACK = "127.0.0.1"
PORT, ADMIN = 8080, 9100
PLACES = ("clients", "edge", "origins")
DESCRIPTORS = 20_000
REQUEST = (b"GET %s HTTP/1.1\r\nHost: load.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
# Masked, of code 1000.
CLOSE = bytes([0x88, 0x82, 0, 0, 0, 0, 3, 0xE8])


class Missing(Exception):
    """What this host lacks for a proof."""


def program(name):
    """A program of this project: named by the environment (HAWSER, HAWSER_LOADTEST), or the release build."""
    named = os.environ.get(name.upper().replace("-", "_"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    path = pathlib.Path(named) if named else target / "release" / name
    if not path.exists():
        raise Missing(f"{path} is missing: cargo build --release -p hawser -p hawser-loadtest")
    return str(path)


def needs(tool, package):
    if not shutil.which(tool):
        raise Missing(f"{tool} is not installed (package {package})")


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Lab:
    def __enter__(self):
        if os.geteuid() != 0:
            raise Missing("network namespaces need root: sudo tuning/prove")
        needs("ip", "iproute2")
        needs("ss", "iproute2")
        raise_limit()
        self.names = {place: f"hawser-{os.getpid()}-{place}" for place in PLACES}
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.children, self.sockets = [], []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hawser-proof-"))
        try:
            self.wire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for held in self.sockets:
            held.close()
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        os.close(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wire(self):
        for name in self.names.values():
            command("ip", "netns", "add", name)
        clients, edge, origins = (self.names[place] for place in PLACES)
        for outer, side, near, far in ((clients, "c", CLIENT, EDGE), (origins, "o", ORIGIN, EDGE_ORIGINS)):
            # Two queues each way, so that what steers them can be shown.
            command("ip", "-n", edge, "link", "add", f"edge-{side}", "numtxqueues", "2", "numrxqueues", "2", "type", "veth",
                    "peer", "name", "wire", "netns", outer)
            command("ip", "-n", edge, "addr", "add", f"{far}/24", "dev", f"edge-{side}")
            command("ip", "-n", outer, "addr", "add", f"{near}/24", "dev", "wire")
            command("ip", "-n", edge, "link", "set", f"edge-{side}", "up")
            command("ip", "-n", outer, "link", "set", "wire", "up")
            command("ip", "-n", outer, "route", "add", "default", "via", far)
        for name in self.names.values():
            command("ip", "-n", name, "link", "set", "lo", "up")
        # Answers to invented clients go back where they came from, and are dropped there.
        command("ip", "-n", edge, "route", "add", "10.79.0.0/16", "via", CLIENT)

    @contextlib.contextmanager
    def inside(self, place):
        there = os.open(f"/run/netns/{self.names[place]}", os.O_RDONLY)
        try:
            enter(there)
            yield
        finally:
            enter(self.home)
            os.close(there)

    def run(self, place, *words, stdin=None):
        with self.inside(place):
            return command(*words, stdin=stdin)

    def start(self, place, words, **options):
        with self.inside(place):
            child = subprocess.Popen([str(word) for word in words], **options)
        self.children.append(child)
        return child

    def sysctl(self, place, name, value=None):
        """Sets a setting of a namespace, or reads it. Others than a namespace's own are never written."""
        path = pathlib.Path("/proc/sys") / name.replace(".", "/")
        assert name.startswith("net."), name
        with self.inside(place):
            if value is not None:
                path.write_text(f"{value}\n")
            return path.read_text().split()

    def counters(self, place):
        """What nstat shows, by the same names without their prefixes."""
        found = {}
        with self.inside(place):
            for file in ("netstat", "snmp"):
                lines = pathlib.Path(f"/proc/thread-self/net/{file}").read_text().splitlines()
                for names, values in zip(lines[::2], lines[1::2]):
                    found.update(zip(names.split()[1:], map(int, values.split()[1:])))
        return found

    def count(self, place, *states):
        """Sockets in a state, as ss counts them."""
        return len(self.run(place, "ss", "-Htan", "state", *states).splitlines())

    def socket(self, place, kind=socket.SOCK_STREAM, protocol=0):
        with self.inside(place):
            made = socket.socket(socket.AF_INET, kind, protocol)
        self.sockets.append(made)
        return made

    def address(self, place, device, address):
        command("ip", "-n", self.names[place], "addr", "add", f"{address}/24", "dev", device)

    def edge(self, **options):
        return Edge(self, **options)

    def origin(self, address=ORIGIN, port=80):
        child = self.start("origins", [program("hawser-loadtest"), "origin", "--listen", f"{address}:{port}"],
                           stdout=subprocess.PIPE, text=True, preexec_fn=raise_limit)
        child.stdout.readline()
        return child

    def clients(self, **options):
        return Clients(self, **options)


class Edge:
    """Hawser in its namespace."""

    def __init__(self, lab, origins=((ORIGIN, 80),), workers=2, sources=(), heartbeat=300, limit=DESCRIPTORS, port=PORT,
                 admin=ADMIN, filter_=None):
        self.lab, self.port, self.admin = lab, port, admin
        self.folder = lab.folder / f"edge-{len(lab.children)}"
        (self.folder / "domains").mkdir(parents=True)
        quoted = ", ".join(f'"{source}"' for source in sources)
        (self.folder / "hawser.toml").write_text(
            f'version = 1\n[server]\nlisten = ["{EDGE}:{port}"]\nworkers = {workers}\nstate_dir = "{self.folder}"\n'
            f'source_addresses = [{quoted}]\n[admin]\nlisten = "{LOOPBACK}:{admin}"\n[drain]\nwindow = "1s"\n'
            f'[log]\naccess = "{self.folder}/access.log"\n[billing]\nenabled = false\n')
        listed = "".join(f'[[origin]]\naddress = "{address}"\nport = {number}\n' for address, number in origins)
        (self.folder / "domains" / "load.test.toml").write_text(
            f'name = "load.test"\n[websocket]\nheartbeat = {heartbeat}\n[balance]\nmode = "least_connections"\n{listed}')
        self.log = open(self.folder / "output", "w+")
        self.process = lab.start("edge", [program("hawser"), "run", "-c", self.folder / "hawser.toml"],
                                 stdout=self.log, stderr=self.log, preexec_fn=lambda: confined(limit, filter_))
        self.pid = self.process.pid
        await_(lambda: self.process.poll() is not None or self.ready(), "the edge to be ready", 15)
        if self.process.poll() is not None:
            raise RuntimeError(f"the edge ended with {self.process.poll()}:\n{self.output()}")

    def ready(self):
        try:
            return b" 200 " in self.ask("/readyz")
        except OSError:
            return False

    def ask(self, path):
        with self.lab.inside("edge"):
            asking = socket.create_connection((LOOPBACK, self.admin), 5)
        with asking:
            asking.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{self.admin}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: asking.recv(65536), b""))

    def metrics(self, name):
        """The values of a metric by its labels."""
        lines = self.ask("/metrics").decode().splitlines()
        found = (line[len(name):].rsplit(" ", 1) for line in lines if line.startswith(name))
        return {labels: float(value) for labels, value in found if labels[:1] in ("", "{")}

    def output(self):
        self.log.flush()
        return (self.folder / "output").read_text()

    def access(self):
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        await_(lambda: self.process.poll() is not None, "the edge to end", 20)

    def cpu_ns(self):
        """Processor time of all its threads, the kernel's work for it included."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def rollup(self, field):
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise Missing(f"smaps_rollup has no {field}")


class Clients:
    """The load generator; `ask` is one line of its input and the answer."""

    def __init__(self, lab, path="/echo", source=CLIENT, silent=False, target=(EDGE, PORT), place="clients"):
        words = [program("hawser-loadtest"), "client", "--target", f"{target[0]}:{target[1]}", "--path", path,
                 "--source", source] + (["--silent"] if silent else [])
        self.process = lab.start(place, words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 preexec_fn=raise_limit)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the load generator ended at {line!r}")
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Crowd:
    """Upgrades by sockets of this process, for what the load generator is too careful to do: all at once, or left alone."""

    def __init__(self, lab, target=(EDGE, PORT), path=b"/echo"):
        self.lab, self.target, self.request = lab, target, REQUEST % path
        self.selector = selectors.DefaultSelector()
        self.waiting, self.open, self.ends, self.latencies = {}, [], {}, []

    def begin(self, count):
        with self.lab.inside("clients"):
            made = [socket.socket() for _ in range(count)]
        for each in made:
            each.setblocking(False)
            each.connect_ex(self.target)
            self.waiting[each] = time.monotonic()
            self.selector.register(each, selectors.EVENT_WRITE)

    def pump(self, seconds):
        """Goes on until all are answered, or for so long."""
        until = time.monotonic() + seconds
        while self.waiting and (left := until - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                self.advance(key.fileobj, key.events)

    def advance(self, one, events):
        try:
            if events == selectors.EVENT_WRITE:
                one.send(self.request)
                self.selector.modify(one, selectors.EVENT_READ)
                return
            answer = one.recv(4096)
        except OSError as error:
            return self.over(one, type(error).__name__)
        if answer.startswith(b"HTTP/1.1 101"):
            self.latencies.append(time.monotonic() - self.waiting.pop(one))
            self.selector.unregister(one)
            self.open.append(one)
        else:
            self.over(one, answer[9:12].decode() or "closed")

    def over(self, one, why):
        self.ends[why] = self.ends.get(why, 0) + 1
        self.waiting.pop(one)
        self.selector.unregister(one)
        one.close()

    def leave(self):
        """Those that were not answered give up."""
        for one in list(self.waiting):
            self.over(one, "no answer")

    def close(self, properly=True):
        self.leave()
        for one in self.open:
            if properly:
                one.setblocking(True)
                one.settimeout(5)
                with contextlib.suppress(OSError):
                    one.sendall(CLOSE)
                    while one.recv(4096):
                        pass
            one.close()
        self.open.clear()


def command(*words, stdin=None):
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def raise_limit(limit=DESCRIPTORS):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def confined(limit, filter_):
    """In a child, before it becomes another program: its descriptors, and a seccomp filter (classic BPF)."""
    raise_limit(limit)
    if filter_ is None:
        return
    text = ctypes.create_string_buffer(filter_, len(filter_))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(filter_) // 8, ctypes.addressof(text)))
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    if LIBC.prctl(no_new_privileges, 1, 0, 0, 0) or LIBC.prctl(set_seccomp, mode_filter, head, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def await_(holds, what, seconds):
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def slabs(*names):
    """Active objects and bytes of each in these caches of the kernel."""
    found = {}
    for line in pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]:
        words = line.split()
        if words[0] in names:
            found[words[0]] = (int(words[1]), int(words[3]))
    return found


def syn(source, target, port):
    """A TCP segment that asks for a connection, for a raw socket."""
    address = socket.inet_aton(source)
    head = struct.pack("!HHIIBBHHH", port, target[1], 1, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = address + socket.inet_aton(target[0]) + struct.pack("!BBH", 0, 6, len(head))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(head)) // 2}H", pseudo + head))
    total = (total >> 16) + (total & 0xFFFF)
    total = ~(total + (total >> 16)) & 0xFFFF
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, address, socket.inet_aton(target[0]))
    return ip + head[:16] + struct.pack("!H", total) + head[18:]


def flood(lab, first, count, target=(EDGE, PORT)):
    """SYNs of so many invented clients."""
    raw = lab.socket("clients", socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number in range(first, first + count):
        source = f"10.79.{number >> 8 & 0xFF}.{number & 0xFF}"
        raw.sendto(syn(source, target, 1024 + (number >> 16)), (target[0], 0))
