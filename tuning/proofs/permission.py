"""What forbids io_uring, and what Hawser says then. Not here: kernel.io_uring_disabled and io_uring_group, which hold for
the whole host and are only read."""

import json
import pathlib
import re
import shutil
import struct
import subprocess

from lab import TOP, Crowd, Lab, Missing, program

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")
EPERM, ENOSYS = 1, 38


def io_uring():
    numbers = system_calls()
    rows = [("nothing", *serves(None))]
    for name, errno in (("the three calls answered EPERM, as Docker's own profile does", EPERM),
                        ("the three calls answered ENOSYS", ENOSYS)):
        rows.append((name, *serves(denying([numbers[call] for call in IO_URING], errno))))
    profile = json.loads((TOP / "packaging" / "seccomp-io_uring.json").read_text())
    names = [call for group in profile["syscalls"] for call in group["names"]]
    rows.append(("`packaging/seccomp-io_uring.json`", *serves(allowing(known(names, numbers), profile["defaultErrnoRet"]))))
    if shutil.which("systemd-analyze"):
        names = service_calls()
        rows.append(("`SystemCallFilter=` of `packaging/hawser.service`", *serves(allowing(known(names, numbers), EPERM))))
    disabled = pathlib.Path("/proc/sys/kernel/io_uring_disabled").read_text().strip()
    return (("seccomp filter", "exit code", "Hawser", "its last words"), rows,
            f"`kernel.io_uring_disabled` is {disabled} here; it belongs to the whole host, so 1 and 2 are not shown.")


def serves(filter_):
    """Starts Hawser behind a filter, has it serve, reload and drain."""
    with Lab() as lab:
        lab.origin()
        try:
            edge = lab.edge(filter_=filter_)
        except RuntimeError as error:
            code, output = re.search(r"ended with (\d+):\n(.*)", str(error), re.S).groups()
            last = output.strip().splitlines()[-1]
            return code, "does not start", json.loads(last)["message"] if last.startswith("{") else last
        crowd = Crowd(lab)
        crowd.begin(100)
        crowd.pump(10)
        subprocess.run([program("hawser"), "reload", "-c", edge.folder / "hawser.toml"], check=True, capture_output=True)
        edge.stop()
        assert len(crowd.open) == 100, crowd.ends
        return edge.process.returncode, "served 100 tunnels, reloaded, drained", ""


def system_calls():
    for path in ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/aarch64-linux-gnu/asm/unistd.h",
                 "/usr/include/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"):
        if pathlib.Path(path).exists():
            found = re.findall(r"#define __NR_(\w+) (\d+)", pathlib.Path(path).read_text())
            if found:
                return {name: int(number) for name, number in found}
    raise Missing("the numbers of system calls (package linux-libc-dev)")


def known(names, numbers):
    return sorted({numbers[name] for name in names if name in numbers})


def service_calls():
    """@system-service without @privileged, as this systemd knows them."""
    allowed = group("@system-service")
    return allowed - group("@privileged")


def group(name):
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    calls = set()
    for word in words:
        calls |= group(word) if word.startswith("@") else {word}
    return calls


def statement(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def compiled(numbers, found, otherwise):
    """A classic BPF program: the number of the call decides."""
    text = [statement(0x20, 0, 0, 0)]
    for number in numbers:
        text += [statement(0x15, 0, 1, number), statement(0x06, 0, 0, found)]
    return b"".join(text) + statement(0x06, 0, 0, otherwise)


def denying(numbers, errno):
    return compiled(numbers, ERRNO | errno, ALLOW)


def allowing(numbers, errno):
    return compiled(numbers, ALLOW, ERRNO | errno)


PROOFS = {"io-uring": io_uring}
