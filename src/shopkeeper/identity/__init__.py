"""Who is who: visitors' ids joined to customers by a table that is never written over, and taken apart again.

Every number here is an exact count over what is stored.
"""

from shopkeeper.identity.acts import join, split
from shopkeeper.identity.answers import Changed, Known, Report
from shopkeeper.identity.questions import of, report

__all__ = ["Changed", "Known", "Report", "join", "of", "report", "split"]
