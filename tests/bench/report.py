"""Medians over the rounds, differences to no proxy, ratios Sluice / peer; as a table and as JSON."""

import json
import platform
import statistics

import measures


def machine():
    """What the numbers depend on, without anything that names the machine."""
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory_kb = int(open("/proc/meminfo").readline().split()[1])
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    return {"cpu": cpu[0] if cpu else platform.machine(), "cpus": len(cpu), "memory_gb": round(memory_kb / 1e6),
            "kernel": platform.release().split("-")[0], "system": release.get("PRETTY_NAME", "").strip('"')}


def with_added(rounds):
    """Latency minus that of no proxy in the same round."""
    for cells in rounds:
        without = cells.get("none", {})
        for cell in cells.values():
            for part in ("setup", "request"):
                for p in ("p50_us", "p99_us"):
                    key = f"{part}_{p}"
                    if key in cell and key in without and cell is not without:
                        cell[f"{part}_added_{p}"] = cell[key] - without[key]


def medians(rounds, names):
    """peer -> metric -> median over the rounds that have it."""
    result = {}
    for name in names:
        cells = [cells[name] for cells in rounds if name in cells]
        keys = {key for cell in cells for key, value in cell.items() if isinstance(value, (int, float))}
        result[name] = {key: statistics.median(cell[key] for cell in cells if key in cell) for key in sorted(keys)}
    return result


def ratio_of(rounds, ours, name, key, their_key):
    """Sluice / peer: the median of the ratios within a round, whose windows lie side by side; None without one in all."""
    pairs = [(cells[ours].get(key, 0), cells[name].get(their_key, 0)) for cells in rounds if ours in cells and name in cells]
    # A difference to no proxy can be below nothing; a ratio to that would say nothing.
    seen = [ours / theirs for ours, theirs in pairs if ours > 0 and theirs > 0]
    return statistics.median(seen) if seen and len(seen) == len(pairs) else None


def ratios(rounds, names, task):
    """peer -> metric -> Sluice / peer."""
    result = {}
    for name in names:
        if name != task.ours:
            seen = {key: ratio_of(rounds, task.ours, name, key, key) for key in task.metrics}
            result[name] = {key: value for key, value in seen.items() if value is not None}
    return result


def spread_of(rounds):
    """Shares of the two busiest threads, the most uneven round."""
    seen = [cells["sluice"]["spread"] for cells in rounds if "spread" in cells.get("sluice", {})]
    return max(seen, key=lambda threads: threads[0]["share"]) if seen else None


def table(middle, ratio, names, metrics):
    rows = [["", *names]]
    for key, (text, decimals, _) in metrics.items():
        if not any(key in middle[name] for name in names):
            continue
        row = [text]
        for name in names:
            value = middle[name].get(key)
            cell = "–" if value is None else f"{value:,.{decimals}f}"
            if value is not None and key in ratio.get(name, {}):
                cell += f" ({ratio[name][key]:.2f})"
            row.append(cell)
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        lines.append("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def wanted(task, rounds, middle):
    """The project's own aims, beside what was seen. Information: no result makes the bench fail."""
    ours, lines = middle.get(task.ours, {}), []
    for aim in task.aims:
        if aim.beside:
            seen = [ratio_of(rounds, aim.whose or task.ours, name, aim.metric, aim.against) for name in aim.beside]
            value = (min if aim.more else max)((one for one in seen if one is not None), default=None)
            unit = f" × {aim.text}"
        else:
            value, unit = ours.get(aim.metric), ""
        if value is None:
            continue
        held = value >= aim.factor if aim.more else value <= aim.factor
        lines.append(f"  {task.metrics[aim.metric][0].strip()}: {value:.2f}{unit}, wanted {'≥' if aim.more else '≤'} "
                     f"{aim.factor}: {'yes' if held else 'NO'}")
    return lines


def show_task(task, rounds, names, facts):
    middle, ratio = medians(rounds, names), ratios(rounds, names, task)
    print(f"\n{task.title}")
    for name in names:
        print(f"  {name}: {facts['versions'][name]}")
    print()
    print(table(middle, ratio, names, task.metrics))
    held = facts["idle_connections"]
    if held != list(measures.IDLE_COUNTS) and any(f"idle_kb_{held[0]}" in middle[name] for name in names):
        print(f"\nidle connections really held: {held} (limit on descriptors)")
    threads = spread_of(rounds)
    if threads and task.ours == "sluice":
        shares = ", ".join(f"{t['thread']} {t['share']:.0%}" for t in threads[:4])
        print(f"\nspread with two workers, share of CPU by thread (the most uneven round): {shares}")
    aims = wanted(task, rounds, middle)
    if aims:
        print("\nwanted:\n" + "\n".join(aims))
    return middle, ratio


def show(rounds, chosen, facts):
    """chosen: task -> names of its peers. Returns medians and ratios, by peer."""
    with_added(rounds)
    print(f"\n{facts['machine']['cpu']}, {facts['machine']['cpus']} CPUs, {facts['machine']['memory_gb']} GB, "
          f"Linux {facts['machine']['kernel']}, {facts['machine']['system']}; {facts['placement']}")
    print(f"medians of {len(rounds)} round{'s' * (len(rounds) > 1)}; in brackets: Sluice / that peer, median within rounds")
    middle, ratio = {}, {}
    for task, names in chosen.items():
        seen_middle, seen_ratio = show_task(task, rounds, names, facts)
        middle |= seen_middle
        ratio |= seen_ratio
    return middle, ratio


def save(path, rounds, names, facts, middle, ratio):
    with open(path, "w") as out:
        json.dump({"facts": facts, "peers": names, "medians": middle, "ratios_sluice_to_peer": ratio,
                   "spread": spread_of(rounds), "rounds": rounds}, out, indent=1)
        out.write("\n")
