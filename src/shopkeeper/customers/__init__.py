"""Who the customers are, what each is worth, and who is leaving: so that the right ones are called in time.

Questions: `lifetime_value`, `at_risk`, `segments`, `profile`; acts: `save_segment` and `drop_segment` (rules of one's
own), `publish` (values and segments for other rooms), `export_audience` (a list with names, from the vault) and
`notify` (a list to a webhook). What was learned is in `trials.py`: each method beats the plainest one on a split in
time, or that one answers.
"""

from shopkeeper.customers.acts import Audience, export_audience, notify, publish
from shopkeeper.customers.answers import (
    Exported,
    Notified,
    Profile,
    Published,
    Risks,
    SavedSegment,
    Segments,
    Values,
)
from shopkeeper.customers.questions import at_risk, lifetime_value, profile, segments
from shopkeeper.customers.saving import drop_segment, save_segment

__all__ = ["Audience", "Exported", "Notified", "Profile", "Published", "Risks", "SavedSegment", "Segments", "Values",
           "at_risk", "drop_segment", "export_audience", "lifetime_value", "notify", "profile", "publish",
           "save_segment", "segments"]
