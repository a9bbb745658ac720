"""One job of the demo: the chaos in the logistic map x -> r x (1 - x) at one r.

This is an ordinary script: it gets the path of its job's file as an argument, reads its
parameters from there, and writes its result.  It knows nothing of dirjobs.
"""

import json
import math
import sys
from pathlib import Path


def lyapunov_exponent(r: float, x: float, steps: int) -> float:
    """How fast two close starting points part (above 0: chaos) or meet (below 0)."""
    for _ in range(1000):
        x = r * x * (1 - x)
    total = 0.0
    for _ in range(steps):
        total += math.log(abs(r * (1 - 2 * x)))
        x = r * x * (1 - x)
    return total / steps


if __name__ == "__main__":
    parameters = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    exponent = lyapunov_exponent(parameters["r"], parameters["x"], parameters["steps"])
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    result = {**parameters, "exponent": round(exponent, 4)}
    (results / f"r_{parameters['r']:.3f}.json").write_text(json.dumps(result), encoding="utf-8")
