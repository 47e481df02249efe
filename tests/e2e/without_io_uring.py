#!/usr/bin/python3
"""Runs a program for which io_uring_setup(2) fails with a given errno, as under a container's seccomp profile.

usage: without_io_uring.py ERRNO PROGRAM [ARGUMENT…]
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
IO_URING_SETUP = 425  # the same number on every architecture
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000

program = [
    (0x20, 0, 0, 0),                                     # A = system call number
    (0x15, 0, 1, IO_URING_SETUP),
    (0x06, 0, 0, SECCOMP_RET_ERRNO | int(sys.argv[1])),
    (0x06, 0, 0, SECCOMP_RET_ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
fprog = ctypes.create_string_buffer(struct.pack("HL", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
# Root may install a filter without no_new_privs, which would strip nothing here but is not needed either.
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog, 0, 0) != 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
