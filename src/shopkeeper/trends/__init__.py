"""What happens just now, and whether it is odd: live counts by minute and hour, and alerts on them.

The decision that it serves: whether somebody must look now. A rule is tried on the past before it is saved, and each
firing says what was expected, how that was found, and how often the rule rang before.
"""

from shopkeeper.trends.acts import remove_alert, save_alert
from shopkeeper.trends.answers import Alerts, Counts, Ringing, Saved
from shopkeeper.trends.questions import Span, alerts, counts, firing
from shopkeeper.trends.ringing import Firing, Ring
from shopkeeper.trends.rules import Rule, Series

__all__ = ["Alerts", "Counts", "Firing", "Ring", "Ringing", "Rule", "Saved", "Series", "Span", "alerts", "counts",
           "firing", "remove_alert", "save_alert"]
