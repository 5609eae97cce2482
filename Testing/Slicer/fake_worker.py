"""A worker that only behaves: it speaks the protocol and computes nothing.

Usage: fake_worker.py MODE JOB.json, with MODE one of

- ``hang``: report progress, start a child that sleeps, ignore requests to stop, wait for ever
- ``done``: report progress and the end, without results
- ``crash``: print a line to stderr and end with code 1
- ``refuse``: report an error as the engine does, and end with code 1
- ``noise``: print lines that are no events, then end well
"""

import json
import signal
import subprocess
import sys
import time


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    mode = sys.argv[1]
    if mode == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say(event="progress", stage="child", fraction=0.25, eta_s=75.0, message=str(child.pid))
        time.sleep(600)
    if mode == "crash":
        print("the roof is on fire", file=sys.stderr)
        return 1
    if mode == "refuse":
        say(event="error", code="HU_IMPLAUSIBLE", message="Not HU.", remedy="Give HU.")
        return 1
    if mode == "noise":
        print("{not json\nhello\n{}\n[1]\n\xfc", flush=True)
    say(event="warning", message="a warning")
    say(event="progress", stage="network", fraction=0.5, eta_s=None, message="half")
    say(event="done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
