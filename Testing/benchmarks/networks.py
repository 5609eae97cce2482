"""CPU seconds and peak memory of a network against the same one written plainly.

python -m Testing.benchmarks.networks [--width 1.0] [--threads 1]

Each network runs one volume in a process of its own, after one that warms up at a sixteenth of the
width. One JSON line for each quantity: ``name``, ``unit``, ``ours``, ``peer``, ``ratio`` (ours over
the peer's), and last the largest difference between both outputs relative to the output's range.
CPU seconds include the time of all threads; peak memory is the process's, with torch and weights.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = "Testing.benchmarks.networks"
SIDES = ("ours", "plain")
WARM_UP_WIDTH = 1 / 16


def generators() -> dict[str, Callable]:
    """The two networks; their weights have the same names."""
    from Testing.Support.plain_x2ct import PlainX2CT
    from TomoRayCore.nets import build

    return {
        "ours": lambda width: build("x2ct-biplanar", {"width": width, "feed_cube_back": True}),
        "plain": lambda width: PlainX2CT(width, feed_cube_back=True),
    }


def measure(side: str, width: float, threads: int, output: Path) -> dict[str, float]:
    """Run one network in this process; write its volume to ``output``."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    make = generators()[side]
    small = make(WARM_UP_WIDTH).eval()
    net = make(width).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        for parameter in net.state_dict().values():
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            spread = (2 / fan) ** 0.5 if parameter.ndim > 1 else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        images = torch.rand(1, 2, 128, 128, generator=generator)
        small(images)
        started = time.process_time()
        volume = net(images)
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(output, volume.numpy())
    return {"CPU s": seconds, "MiB": peak}


def compare(width: float, threads: int) -> list[dict[str, object]]:
    """Run both networks, one after the other, each in a process of its own."""
    import numpy as np

    found, volumes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            path = Path(folder) / f"{side}.npy"
            command = [
                sys.executable,
                "-m",
                MODULE,
                "--width",
                str(width),
                "--threads",
                str(threads),
            ]
            done = subprocess.run(
                [*command, "--side", side, "--output", str(path)],
                check=True,
                capture_output=True,
                cwd=ROOT,
                text=True,
            )
            found[side] = json.loads(done.stdout)
            volumes[side] = np.load(path)
    name = f"x2ct-biplanar, width {width:g}, inference"
    lines: list[dict[str, object]] = []
    for unit in ("CPU s", "MiB"):
        ours, peer = found["ours"][unit], found["plain"][unit]
        line = {"name": name, "unit": unit, "ours": round(ours, 2), "peer": round(peer, 2)}
        lines.append({**line, "ratio": round(ours / peer, 3)})
    difference = float(np.abs(volumes["ours"] - volumes["plain"]).max())
    lines.append(
        {"name": name, "unit": "difference", "ours": difference / float(np.ptp(volumes["plain"]))}
    )
    return lines


def main(argv: list[str]) -> int:
    """Print the comparison, or, for ``--side``, one process's part of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=float, default=1.0, help="of the network (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.side is not None:
        found = measure(arguments.side, arguments.width, arguments.threads, arguments.output)
        print(json.dumps(found))
        return 0
    for line in compare(arguments.width, arguments.threads):
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
