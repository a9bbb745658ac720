"""One job of the demo: the chaos in the logistic map x -> r x (1 - x) at one r.

This is an ordinary script: it gets its parameter as an argument and writes its result into
a file, in the folder that the environment names or else where it was started.
"""

import json
import math
import os
import sys
from pathlib import Path


def lyapunov_exponent(r: float, x: float = 0.4, steps: int = 800_000) -> float:
    """How fast two close starting points part (above 0: chaos) or meet (below 0)."""
    for _ in range(1000):
        x = r * x * (1 - x)
    total = 0.0
    for _ in range(steps):
        total += math.log(abs(r * (1 - 2 * x)))
        x = r * x * (1 - x)
    return total / steps


def behaviour(exponent: float) -> str:
    """What a Lyapunov exponent means."""
    return "chaos" if exponent > 0.005 else "order" if exponent < -0.005 else "between the two"


if __name__ == "__main__":
    exponent = round(lyapunov_exponent(float(sys.argv[1])), 4) + 0.0  # no -0.0
    print("the Lyapunov exponent is", exponent)
    result = {"exponent": exponent, "behaviour": behaviour(exponent)}
    folder = Path(os.environ.get("DIRJOBS_OUT", "."))
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
