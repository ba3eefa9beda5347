"""Writes a table of pumps in three states: `python tests/support/pumps.py pumps.csv`.

A worn pump swings faster, a leaking one loses pressure; a new one does neither.
"""

import csv
import math
import random
import sys
from pathlib import Path

STATES = ("new", "worn", "leaking")


def write(path: Path, pumps: int = 240) -> None:
    """Write a row for each of the 20 to 40 minutes of each pump."""
    draw = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["pump", "stamp", "pressure", "flow", "state"])
        for pump in range(pumps):
            state, phase = STATES[pump % 3], draw.uniform(0, 2 * math.pi)
            speed, loss = 0.7 if state == "worn" else 0.5, 0.05 if state == "leaking" else 0.0
            for minute in range(draw.randint(20, 40)):
                angle = phase + speed * minute
                pressure = math.sin(angle) - loss * minute + draw.gauss(0, 0.4)
                flow = 5 + math.cos(angle) + draw.gauss(0, 0.4)
                stamp = f"2026-01-01T00:{minute:02}:00"
                rows.writerow([f"p{pump:03}", stamp, f"{pressure:.3f}", f"{flow:.3f}", state])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
