"""What a share really guarantees.

Nobody can know from a URL whether a server's rename is exclusive, how late its listings
are, or which names it mangles.  It can be tried, in a minute.
"""

from dirjobs.check.findings import Findings
from dirjobs.check.lag import Lag
from dirjobs.check.probe import Check, check
from dirjobs.check.verdict import ENOUGH, Verdict, decide
from dirjobs.testing.races import Race

__all__ = ["ENOUGH", "Check", "Findings", "Lag", "Race", "Verdict", "check", "decide"]
