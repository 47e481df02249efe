#!/usr/bin/python3
"""Runs a program whose soft limit of file descriptors is lowered whenever it makes a ring: after it has read the limit
and shared it out, before it begins to accept. (An accept in the ring keeps the limit that it was begun under, so lowering
it later changes nothing for the accept that waits.)

usage: with_fewer_descriptors.py LIMIT PROGRAM [ARGUMENT…]
"""

import ctypes
import fcntl
import os
import platform
import resource
import signal
import struct
import sys

SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
IO_URING_SETUP = 425  # the same number on every architecture
SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
RET_ALLOW, RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
PR_SET_PDEATHSIG = 1
NOTIFICATION, ANSWER = struct.Struct("QIIiIQ6Q"), struct.Struct("QqiI")  # seccomp_notif, seccomp_notif_resp
RECEIVE = 3 << 30 | NOTIFICATION.size << 16 | ord("!") << 8
SEND = 3 << 30 | ANSWER.size << 16 | ord("!") << 8 | 1
ANSWER_CONTINUE = 1


def become_user_of(process):
    """Whose limits one may change without CAP_SYS_RESOURCE, which root lacks in many a container."""
    with open(f"/proc/{process}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    user, group = (int(fields[name].split()[0]) for name in ("Uid", "Gid"))
    if os.getuid() != user:
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)


program = [
    (0x20, 0, 0, 0),  # A = system call number
    (0x15, 0, 1, IO_URING_SETUP),
    (0x06, 0, 0, RET_USER_NOTIF),
    (0x06, 0, 0, RET_ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
fprog = ctypes.create_string_buffer(struct.pack("HL", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
listener = libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, fprog)  # closed by exec
if listener < 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
watched = os.getpid()
if os.fork() != 0:
    os.execvp(sys.argv[2], sys.argv[2:])
libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
while os.getppid() == watched:
    asked = bytearray(NOTIFICATION.size)
    fcntl.ioctl(listener, RECEIVE, asked)
    become_user_of(watched)
    _, hard = resource.prlimit(watched, resource.RLIMIT_NOFILE)
    resource.prlimit(watched, resource.RLIMIT_NOFILE, (int(sys.argv[1]), hard))
    fcntl.ioctl(listener, SEND, ANSWER.pack(NOTIFICATION.unpack(asked)[0], 0, 0, ANSWER_CONTINUE))
