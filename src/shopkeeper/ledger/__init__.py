"""What came in and what became of it: the account of every import, the look of the log, the quarantine and its reasons.

Every number here is an exact count over what is stored.
"""

from shopkeeper.ledger.acts import ingest
from shopkeeper.ledger.answers import Account, Description, Ingested, Quarantine
from shopkeeper.ledger.questions import account, describe, quarantine

__all__ = ["Account", "Description", "Ingested", "Quarantine", "account", "describe", "ingest", "quarantine"]
