"""What came in and what became of it: the account of every import, the look of the log, the quarantine and its reasons.

Every number here is an exact count over what is stored.
"""

from shopkeeper.ledger.acts import Fix, ingest, replay, undo
from shopkeeper.ledger.answers import Account, Checked, Description, Ingested, Quality, Quarantine, Replaying, Undoing
from shopkeeper.ledger.findings import quality
from shopkeeper.ledger.questions import account, check, describe, quarantine

__all__ = ["Account", "Checked", "Description", "Fix", "Ingested", "Quality", "Quarantine", "Replaying", "Undoing",
           "account", "check", "describe", "ingest", "quality", "quarantine", "replay", "undo"]
