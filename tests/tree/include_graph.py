"""Who may include whom: the layers that docs/architecture.md draws, and a reader of #include lines that finds offences.

    L0 base <- L1 hello rules http scan record config <- L2 tls io <- L3 flow <- L4 worker control cli <- main.cc
"""

import pathlib
import re

LAYER = {
    "base": 0,
    "hello": 1, "rules": 1, "http": 1, "scan": 1, "record": 1, "config": 1,
    "tls": 2, "io": 2,
    "flow": 3,
    "worker": 4, "control": 4, "cli": 4,
    "main.cc": 5,
}  # fmt: skip

# Rooms without sockets, clocks and randomness: time and random bytes are arguments, so each is tested and fuzzed alone.
PURE = {room for room, layer in LAYER.items() if layer == 1}

# L1 rooms know base alone, and L2 rooms too; this is the one exception.
SIDEWAYS = {("config", "rules")}

# System headers that only some rooms may see; a pattern is matched against the whole name between < and >.
KERNEL = r"liburing(/.*)?\.h"
WOLFSSL = r"wolfssl/.*"
LLHTTP = r"llhttp\.h"
SOCKETS = r"sys/(socket|un|epoll|eventfd|ioctl|uio|sendfile|select)\.h|net/.*|netinet/.*|netdb\.h|linux/.*"
CLOCKS_AND_CHANCE = r"sys/(random|time|timerfd)\.h|random"
ONLY_IN = [
    (KERNEL, {"io"}),
    (WOLFSSL, {"tls"}),
    (LLHTTP, {"http"}),
    (SOCKETS, {"base", "io", "worker", "control", "cli", "main.cc"}),
    (r"poll\.h", set(LAYER) - PURE - {"tls"}),  # flow names events such as POLLIN
    (CLOCKS_AND_CHANCE, set(LAYER) - PURE),
]

# Calls that a pure room could make without any header above.
IMPURE_CALLS = re.compile(
    r"_clock::now\(|\b(clock_gettime|gettimeofday|getrandom|random_device|rand|srand|socket|getaddrinfo)\s*\("
    r"|\b(?:std::)?time\s*\(\s*(?:nullptr|NULL|0|&)"
)

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def strip_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def room_of(path):
    """The room of a path relative to src, or of the name in an #include."""
    return pathlib.PurePath(path).parts[0]


def sources(src):
    return sorted(path for path in src.rglob("*") if path.suffix in (".cc", ".h", ".def"))


def layer_offence(room, other):
    """Why `room` may not include `other`, or None."""
    if room == other or (room, other) in SIDEWAYS:
        return None
    if other not in LAYER:
        return f"'{other}' is no room; add it to LAYER with its layer"
    if LAYER[other] > LAYER[room]:
        return f"{other} (L{LAYER[other]}) lies above {room} (L{LAYER[room]})"
    if LAYER[room] in (1, 2) and other != "base":
        return f"{room} may include base alone"
    if LAYER[other] == LAYER[room] and LAYER[room] < 4:
        return f"{other} lies beside {room}"
    return None


def offences(src):
    """Every offence in the tree at `src`, as "file: what is wrong"."""
    found = []
    beside = {}  # among the rooms of L4: room -> rooms it includes
    for path in sources(src):
        name = path.relative_to(src).as_posix()
        room = room_of(name)
        if room not in LAYER:
            found.append(f"{name}: '{room}' is no room; add it to LAYER with its layer")
            continue
        text = path.read_text()
        for ours, theirs in INCLUDE.findall(text):
            if ours:
                if not (src / ours).is_file():
                    found.append(f'{name}: "{ours}" is not a file below src (write the room: "room/file.h")')
                    continue
                other = room_of(ours)
                if (why := layer_offence(room, other)) is not None:
                    found.append(f'{name}: "{ours}": {why}')
                elif other != room and LAYER[other] == LAYER[room] == 4:
                    beside.setdefault(room, set()).add(other)
            for pattern, rooms in ONLY_IN:
                if theirs and re.fullmatch(pattern, theirs) and room not in rooms:
                    found.append(f"{name}: <{theirs}> belongs to {', '.join(sorted(rooms))}")
        if room in PURE:
            for call in IMPURE_CALLS.finditer(strip_comments(text)):
                found.append(f"{name}: a pure room calls '{call.group().strip()}'")
    return found + cycles(beside)


def cycles(graph):
    """The rooms that reach themselves, as offences."""
    found = []
    for start in sorted(graph):
        reached, waiting = set(), [start]
        while waiting:
            for other in graph.get(waiting.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
        if start in reached:
            found.append(f"{start}: includes itself by way of {', '.join(sorted(reached - {start}))}")
    return found
