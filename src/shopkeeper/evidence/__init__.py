"""How we know: time splits, metrics by their exact definitions, and trials against the plainest rival.

Every answer carries evidence of one kind. An object of any kind has `kind`, `sentence()` and `to_dict()`. This floor
knows no shop and no room: arrays in, records out.
"""

from shopkeeper.evidence.bootstrap import Interval
from shopkeeper.evidence.kinds import ExactCount, NotLearned, from_dict
from shopkeeper.evidence.metrics import Relevant
from shopkeeper.evidence.splits import TimeSplit, last_window, leave_last, rolling_origins
from shopkeeper.evidence.trial import (
    Comparison,
    Row,
    Scores,
    Setup,
    Trial,
    Verdict,
    ladder,
    paired_difference,
    relative_difference,
)

__all__ = ["Comparison", "ExactCount", "Interval", "NotLearned", "Relevant", "Row", "Scores", "Setup", "TimeSplit",
           "Trial", "Verdict", "from_dict", "ladder", "last_window", "leave_last", "paired_difference",
           "relative_difference", "rolling_origins"]
