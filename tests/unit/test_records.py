"""What others wrote, decoded by type."""

import subprocess
import sys

from tests.command_line import environment

# Whenever msgspec begins to describe a dataclass to itself, another thread wants the same.
AT_ONCE = """
import sys, threading
from dirjobs.protocol.records import convert
from dirjobs.recovery.heartbeat import Heartbeat

RECORD = {"worker": "w", "counter": 1, "terms": {"mode": "trust"}}
others = []

def another(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "get_dataclass_info":
        thread = threading.Thread(target=convert, args=(RECORD, Heartbeat))
        thread.start()
        thread.join(0.1)  # long enough to get through, were there no lock
        others.append(thread)

sys.setprofile(another)
print(convert(RECORD, Heartbeat).worker)
sys.setprofile(None)
for thread in others:
    thread.join()
"""


def test_two_threads_that_read_the_first_heartbeat_at_once():
    """...of which msgspec 0.22 crashed the whole process."""
    command = [sys.executable, "-c", AT_ONCE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout) == (0, "w\n")
