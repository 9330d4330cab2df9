"""What each customer wants next, what goes with what, and who wants this item.

Questions: `next_items`, `similar_items`, `goes_with`, `audience`, `chances`, `vectors`, `evidence`,
`experiment`; acts:
`start_experiment`, `stop_experiment`. `live` answers `next_items` from memory. The methods meet in a trial on a time
split (`trials.py`); the one that beat the plainer ones answers, and until `learn` has run, the most popular items do.
"""

from shopkeeper.recommend.answers import Audience, Items, Likely, Trials, Vectors
from shopkeeper.recommend.experiments import (
    Compared,
    Experiments,
    Report,
    experiment,
    start_experiment,
    stop_experiment,
)
from shopkeeper.recommend.questions import audience, chances, evidence, goes_with, next_items, similar_items, vectors
from shopkeeper.recommend.rules import Rules

__all__ = ["Audience", "Compared", "Experiments", "Items", "Likely", "Report", "Rules", "Trials", "Vectors", "audience",
           "chances", "evidence", "experiment", "goes_with", "next_items", "similar_items",
           "start_experiment", "stop_experiment", "vectors"]
