"""Methods from outside the package: one that knows nothing, and one that knows too much."""

from dataclasses import dataclass

import numpy as np

from shopkeeper.evidence.splits import rolling_origins
from shopkeeper.recommend.methods.base import Ranking


@dataclass(frozen=True)
class Nothing:
    """Nothing to set."""


class Toy(Ranking):
    """A method from outside: a score an item, the same for everybody."""

    params = Nothing()

    def __init__(self, name, scores):
        super().__init__(np.asarray(scores, dtype=np.float32))
        self.name = name

    def floor(self):
        return self.popularity

    def candidates(self):
        return [Nothing()]

    def fit(self, interactions, now, params):
        return self

    def state(self):
        return {"scores": self.popularity}, {"name": self.name}

    def restore(self, arrays, meta):
        return Toy(meta["name"], arrays["scores"])


class Prophet(Toy):
    """Knows what is bought within the window: an oracle that no method can be."""

    def __init__(self, log):
        super().__init__("prophet", np.zeros(log.interactions.n_items))
        self.log, self.window = log, rolling_origins(int(log.interactions.when.min()), log.now, horizon=14, n=2)[1]

    def top(self, histories, now, k, exclude=None, allowed=None):
        part, m = self.log.interactions, len(histories)
        bought = self.window.test(part.when) & self.log.target
        ranked = np.zeros((m, k), dtype=np.int64)
        people = np.unique(part.customer[bought])
        for place in range(min(m, len(people))):
            mine = np.unique(part.item[bought & (part.customer == people[place])])[:k]
            others = np.setdiff1d(np.arange(self.n_items), mine)[: k - len(mine)]
            ranked[place] = np.concatenate([mine, others])
        return ranked, np.ones((m, k), dtype=np.float32)
