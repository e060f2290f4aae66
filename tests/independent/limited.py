#!/usr/bin/env python3
"""Runs a program under a limit and says how much memory it took at most.

    limited.py [--file-bytes N] [--cpu-seconds N] REPORT -- PROGRAM ARGUMENT...

Writes the largest resident set, in bytes, to the file REPORT; ends with the program's exit code.
--file-bytes N makes every write past N bytes of a file fail, as on a full disk.
--cpu-seconds N ends a program that has computed for longer, however busy the machine is.
"""

import resource
import subprocess
import sys


def main():
    options, program = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
    report = options[-1]
    limits = {"--file-bytes": resource.RLIMIT_FSIZE, "--cpu-seconds": resource.RLIMIT_CPU}
    for name, value in zip(options[:-1:2], options[1:-1:2]):
        resource.setrlimit(limits[name], (int(value),) * 2)
    # Python ignores SIGXFSZ, and so shall the program: the write fails instead of killing it.
    code = subprocess.run(program, restore_signals=False).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    with open(report, "w", encoding="ascii") as file:
        file.write(str(peak))
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
