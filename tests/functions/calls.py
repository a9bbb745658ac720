"""Functions for workers: they go along by their names."""

import os
import signal
import sys
import time


def double(value, *, times=2):
    print("doubling", value)
    return value * times


def raises(text):
    raise ValueError(text)


def raises_what_does_not_load():
    raise Picky("one", "two")


class Picky(Exception):
    """Takes two arguments and gives its base one: pickle can't make it again."""

    def __init__(self, one, two):
        super().__init__(one + two)


def interrupted():
    raise KeyboardInterrupt


def leaves():
    sys.exit(3)


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def exits_at_once():
    os._exit(0)


def generator():
    yield 1


def deep(depth):
    return deep(depth + 1)


def count_in(path, value):
    """Says in a file that it has run."""
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def counts_and_waits(path, value):
    """The same in a file of its own, since Windows lets one of two write over the other, and waits
    until somebody says go on."""
    count_in(f"{path}.{value}", value)
    while not os.path.exists(f"{path}.go"):
        time.sleep(0.01)
    return value


def length(data):
    return len(data)


def of_size(size):
    return b"x" * size


def pid():
    return os.getpid()


def environment_of(name):
    value = os.environ.get(name)
    os.environ[name] = "changed"
    return value


def leaves_a_child():
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    return child.pid


def writes_a_file(name):
    with open(os.path.join(os.environ["DIRJOBS_OUT"], name), "w") as file:
        file.write(name)
    return {"loss": 0.25, "name": name}


def loads_badly():
    return LoadsBadly()


class LoadsBadly:
    def __reduce__(self):
        return _no_such, ()


def _no_such():
    raise RuntimeError("not here")  # where it was made nobody loads it


def takes_a_moment(path, value):
    time.sleep(0.05)
    return count_in(path, value)


def counts_on():
    path = os.path.join(os.environ["DIRJOBS_KEEP"], "count")
    count = 1
    if os.path.exists(path):
        with open(path) as file:
            count += int(file.read())
    with open(path, "w") as file:
        file.write(str(count))
    if count < 3:
        raise RuntimeError(f"only {count}")
    return count
