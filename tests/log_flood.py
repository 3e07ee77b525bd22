"""A program that writes lines of 100 bytes to a file: which file, bytes a second, for how many seconds. The last line
says how many there are."""

from __future__ import annotations

LINE_BYTES = 100
FLOOD = """
import sys, time
path, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
part = rate // 100 // 20
lines = (b"x" * 99 + b"\\n") * (part - 1)
began = time.monotonic()
with open(path, "ab", buffering=0) as file:
    for step in range(1, seconds * 20 + 1):
        file.write(lines + b"%099d\\n" % (step * part))
        time.sleep(max(0.0, began + step / 20 - time.monotonic()))
"""
