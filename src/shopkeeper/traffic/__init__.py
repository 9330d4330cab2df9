"""Who is a person: what of the traffic is bots, what of the clicks is paid for nothing, which reviews machines made.

Labels, never deletions. What says itself what it is gets its label at the entrance; this room judges by behaviour what
does not, and every other answer leaves bots out.
"""

from shopkeeper.traffic.acts import label
from shopkeeper.traffic.answers import Clicks, Labelled, People, Report, Reviews
from shopkeeper.traffic.questions import clicks, people, report, reviews

__all__ = ["Clicks", "Labelled", "People", "Report", "Reviews", "clicks", "label", "people", "report", "reviews"]
