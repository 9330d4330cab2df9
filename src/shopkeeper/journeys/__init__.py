"""What people do, one thing after the other: where they stop, whether they come back, which ways they take.

Everything is counted exactly, with its denominators, by expressions that the engine runs over the whole log. What a
count cannot say, a cause, it does not say.
"""

from shopkeeper.journeys.answers import Attribution, Compared, Funnel, Paths, Retention, Searches, Sessions
from shopkeeper.journeys.asks import Cohorts, How, Period, Two, Walk
from shopkeeper.journeys.questions import attribution, compare, funnel, paths, retention, searches, sessions

__all__ = ["Attribution", "Cohorts", "Compared", "Funnel", "How", "Paths", "Period", "Retention", "Searches",
           "Sessions", "Two", "Walk", "attribution", "compare", "funnel", "paths", "retention", "searches", "sessions"]
