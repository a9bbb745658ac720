"""What a share really guarantees.

Nobody can know from a URL whether a server's rename is exclusive, how late its listings
are, or which names it mangles.  It can be tried, in a minute.
"""

from .examination import Check, check
from .listing import Lag
from .races import Race
from .report import Findings
from .verdict import ENOUGH, Verdict, decide

__all__ = ["ENOUGH", "Check", "Findings", "Lag", "Race", "Verdict", "check", "decide"]
