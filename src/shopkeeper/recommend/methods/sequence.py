"""What comes next by a network that has read everybody's history; trained with torch, answered without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from shopkeeper.asking import Progress, silent
from shopkeeper.errors import MissingExtra
from shopkeeper.evidence.splits import iso
from shopkeeper.recommend.methods.base import Arrays, Because, Floats, Histories, Interactions, Meta, checked
from shopkeeper.recommend.methods.dense import Dense
from shopkeeper.recommend.methods.popular import counted
from shopkeeper.represent.content import Known
from shopkeeper.represent.following import Following, Run
from shopkeeper.represent.sequences import PAD, Sequences, gap_codes, held_out
from shopkeeper.represent.serving import Reader
from shopkeeper.represent.settings import NetworkParams, TrainingParams
from shopkeeper.words import say

if TYPE_CHECKING:  # torch is imported where a network is trained, not before
    from shopkeeper.represent.networks import ItemFeatures
    from shopkeeper.represent.training import Around, Judged

__all__ = ["SequenceFitted", "SequenceNetwork", "SequenceParams", "can_train", "folded", "histories_as_sequences",
           "mixed"]

_READ = 64         # histories read at a time
_NAMED = 20        # different items of a history, the newest, that are tried as reasons
_WHOLE = 20_000    # items up to which the softmax runs over all
_SOME = 4_000      # people whose last step judges the training
Codes = npt.NDArray[Any]
Part = TypeVar("Part", NetworkParams, TrainingParams)


def can_train() -> bool:
    """Whether torch is there."""
    return find_spec("torch") is not None


@dataclass(frozen=True, kw_only=True)
class SequenceParams(NetworkParams, TrainingParams):
    """One setting: a network's shape and its training, smaller by default than `represent.settings` has them.

    A `softmax` is sampled where there are more than 20,000 items.

    Attributes:
        most: Steps that are learned from in all, every pass counted.
        timed: Whether times are read.
        tower: Whether the network is told what is known of items, where the method is.
        seed: Of every random choice.
    """

    width: int = 64
    window: int = 100
    negatives: int = 1_024
    epochs: int = 12
    most: int = 2_000_000
    timed: bool = True
    tower: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        NetworkParams.__post_init__(self)
        TrainingParams.__post_init__(self)
        checked(self, {"most": (1, 10**12), "seed": (0, 2**31)})

    def shape(self) -> NetworkParams:
        """Of the network."""
        return _part(self, NetworkParams)

    def training(self) -> TrainingParams:
        """The training."""
        return _part(self, TrainingParams)


def _part(params: SequenceParams, kind: type[Part]) -> Part:
    return kind(**{one.name: getattr(params, one.name) for one in fields(kind)})


class SequenceNetwork:
    """The next item by a network over the sequence of a customer's steps: P(i | history) = softmax(<h, x_i> + b_i).

    Source:
        Kang, McAuley (2018), Self-Attentive Sequential Recommendation; Klenitskiy, Vasilev (2023), Turning Dross Into
        Gold Loss: is BERT4Rec really better than SASRec? (softmax over all items).
    """

    name = "sequence"

    def __init__(self, *settings: SequenceParams, progress: Progress = silent,
                 start: Mapping[str, Codes] | None = None, known: Callable[[], Known | None] = lambda: None) -> None:
        """Take the settings to choose among, by default one.

        `known` gives what is known of items, for settings with a tower.
        `progress` is told how far a training is. From `start`, the weights of an earlier network over the same rows, a
        training goes on, in a third of the passes. Whoever stands in `followed` is told of each training.
        """
        self.settings, self.progress, self.start = settings or (SequenceParams(),), progress, start
        self.known = known
        self.followed: Following | None = None
        self._lately: dict[bytes, SequenceFitted] = {}  # the same lines and setting give the same network

    def candidates(self) -> Sequence[SequenceParams]:
        """The settings that were given."""
        return self.settings

    def fit(self, interactions: Interactions, now: int, params: SequenceParams) -> SequenceFitted:
        """Train on what happened before `now`.

        Raises:
            MissingExtra: torch is not installed.
        """
        past = interactions.before(now).sorted()
        key = _digest(past, params)
        if key not in self._lately:
            fitted = self._fitted(past, params)
            self._lately = {**dict(list(self._lately.items())[-2:]), key: fitted}
        return self._lately[key]

    def _fitted(self, past: Interactions, params: SequenceParams) -> SequenceFitted:
        strengths = np.unique(past.weight)
        popularity = counted(past)
        sizes = np.bincount(past.customer, minlength=past.n_customers)
        if sizes.max(initial=0) < 2:
            return SequenceFitted(popularity, {}, {"strengths": strengths.tolist()}, params)
        if not can_train():
            raise MissingExtra(say("training a network needs torch, which is not installed."),
                               do=[say("pip install 'shopkeeper[torch]'")],
                               why=say("what is trained answers without it."))
        from shopkeeper.represent.networks import ItemFeatures
        from shopkeeper.represent.training import train

        past = past.where(mixed(past.customer, past.when, past.item))
        sequences = histories_as_sequences(past, strengths, timed=params.timed)
        judges = np.flatnonzero(sizes >= 3)
        held = None
        if params.patience:
            cut = sequences.indptr[1:].copy()
            some = judges[:: max(1, len(judges) // _SOME)]
            cut[some] -= 1
            held = held_out(sequences, cut)
        how = _enough(params, len(past), past.n_items)
        if self.start is not None:
            how = replace(how, epochs=-(-how.epochs // 3), judge=1)
        known = self.known() if params.tower else None
        features = None if known is None else ItemFeatures(known.codes, known.vectors)
        self.progress.start(say("training a network"), how.epochs)
        run = None if self.followed is None else self.followed.begin(_called(past, params), asdict(params))
        made = train(sequences, params.shape(), how, seed=params.seed, held=held, around=self._around(run, features))
        if run is not None:
            run.end()
        return SequenceFitted(popularity, folded(made.arrays, known), {**made.head, "strengths": strengths.tolist()},
                              params)

    def _around(self, run: Run | None, features: ItemFeatures | None) -> Around:
        from shopkeeper.represent.training import Around

        def passed(epoch: int, _: int, loss: float) -> None:
            self.progress.advance()
            if run is not None:
                run.scalars(epoch, {"loss": loss})

        def told(found: Judged) -> None:
            if run is not None and found.ndcg is not None:
                run.scalars(found.epoch, {"ndcg@10": found.ndcg})

        return Around(features, self.start, passed=passed, told=told)

    def from_earlier(self, earlier: SequenceFitted, rows: Codes) -> SequenceNetwork:
        """The same, beginning from an earlier network; `rows` (n_items,): its row of each of our items, -1 for new."""
        known = np.flatnonzero(rows >= 0)
        weights = {}
        for name, one in earlier.weights.items():
            if name in ("item.weight", "bias"):
                moved = np.full((len(rows), *one.shape[1:]), one[rows[known]].mean(0) if len(known) else 0.0, one.dtype)
                moved[known] = one[rows[known]]
                one = moved
            weights[name] = one
        made = SequenceNetwork(*self.settings, progress=self.progress, start=weights, known=self.known)
        made.followed = self.followed
        return made

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: Meta) -> SequenceFitted:
        """The inverse of `SequenceFitted.state`."""
        weights = {name.removeprefix("network/"): array for name, array in arrays.items() if name != "popularity"}
        return SequenceFitted(arrays["popularity"], weights, meta["head"], SequenceParams(**meta["params"]))


def folded(weights: Mapping[str, Codes], known: Known | None) -> dict[str, Codes]:
    """A network's weights with what is known of each item added to the vector of the item, (V, C), once for all."""
    out = {name: one for name, one in weights.items() if not name.startswith(("known.", "described."))}
    if known is not None:
        for name, codes in known.codes.items():
            out["item.weight"] = out["item.weight"] + weights[f"known.{name}.weight"][codes + 1]
        if known.vectors is not None:
            out["item.weight"] = out["item.weight"] + known.vectors @ weights["described.weight"].T
        out["item.weight"] = np.ascontiguousarray(out["item.weight"], dtype=np.float32)
    return out


def mixed(owner: Codes, when: Codes, item: Codes) -> Codes:
    """The order of lines by owner and time in which lines of one moment stand by chance, and always alike.

    Things that were taken together have no order; the order of their rows must not become one that is learned.
    """
    with np.errstate(over="ignore"):
        chance = (item.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ when.astype(np.uint64)
        chance *= np.uint64(0xBF58476D1CE4E5B9)
    return np.lexsort((item, chance >> np.uint64(17), when, owner))


def _enough(params: SequenceParams, steps: int, n_items: int) -> TrainingParams:
    """The training of a setting, as large as the log asks for.

    Batches of a small log are smaller, a large log is passed over fewer times, and of a large catalogue the softmax is
    sampled.
    """
    how = params.training()
    if how.objective == "softmax" and n_items > _WHOLE:
        how = replace(how, objective="sampled")
    epochs = max(1, min(how.epochs, round(params.most / max(1, steps))))
    return replace(how, steps=max(512, min(how.steps, steps // 40)), epochs=epochs, judge=min(how.judge, epochs))


def _called(past: Interactions, params: SequenceParams) -> str:
    """A name for a training: the last day that it learns from, and what tells it from others of that day."""
    return f"sequence-{iso(int(past.when.max()))[:10]}-{_digest(past, params).hex()[:6]}"


def _digest(past: Interactions, params: SequenceParams) -> bytes:
    """A digest of everything that a fit depends on."""
    found = hashlib.blake2b(repr((params, past.n_customers, past.n_items)).encode(), digest_size=16)
    for column in (past.customer, past.item, past.when, past.weight):
        found.update(np.ascontiguousarray(column).tobytes())
    return found.digest()


def histories_as_sequences(past: Interactions, strengths: Floats, *, timed: bool) -> Sequences:
    """Interactions, by customer and time, as steps; `kind` is the place of a line's weight among `strengths`."""
    indptr = np.searchsorted(past.customer, np.arange(past.n_customers + 1)).astype(np.int64)
    kind = np.minimum(np.searchsorted(strengths, past.weight), max(0, len(strengths) - 1)).astype(np.int16)
    return Sequences(indptr, past.item, past.n_items, past.when if timed else None, {"kind": kind},
                     {"kind": max(1, len(strengths))})


class SequenceFitted(Dense):
    """A trained network; without weights (nobody did two things) it knows popularity alone."""

    name = SequenceNetwork.name

    def __init__(self, popularity: Floats, weights: Mapping[str, Codes], head: Mapping[str, Any],
                 params: SequenceParams) -> None:
        super().__init__(popularity)
        self.weights, self.head, self.params = dict(weights), dict(head), params
        self.strengths = np.asarray(head["strengths"], dtype=np.float32)
        self.reader = Reader.of(self.weights, self.head) if self.weights else None
        total = float(self.popularity.sum())
        self.share = self.popularity / np.float32(total) if total else self.popularity  # (n_items,)

    def score(self, histories: Histories, now: int) -> Floats:
        """P(next item = i) of each customer, (m, n_items); of one without a history each item's share of all lines."""
        known = np.diff(histories.known(self.n_items).indptr) > 0
        if self.reader is None or not known.any():
            return np.tile(self.share, (len(histories), 1)).astype(np.float32)
        h, x = self.represent(histories, now), self.reader.items
        out: Floats = (x @ h[0])[None] if len(h) == 1 else h @ x.T  # (m, n_items)
        out += self.reader.bias
        out = softmax(out)
        out[~known] = self.share
        return out

    def represent(self, histories: Histories, now: int) -> Floats:
        """h of each customer, (m, width); zeros where nothing is known of one.

        Raises:
            ValueError: There is no network.
        """
        if self.reader is None:
            raise ValueError("no network was trained")
        heard = histories.known(self.n_items)
        by = mixed(heard.owner, heard.when, heard.item)
        heard = Histories(heard.indptr, heard.item[by], heard.when[by], heard.basket[by], heard.weight[by])
        out = np.zeros((len(heard), self.reader.shape.width), dtype=np.float32)
        sizes = np.diff(heard.indptr)
        some = np.flatnonzero(sizes > 0)
        some = some[np.argsort(sizes[some], kind="stable")]  # of like length together
        for start in range(0, len(some), _READ):
            part = some[start:start + _READ]
            out[part] = self.reader.read(*self._padded(heard, part, now))
        return out

    def _padded(self, heard: Histories, which: Codes, now: int) -> tuple[Codes, dict[str, Codes], Codes | None]:
        """The newest steps of these customers: items (m, T), kinds, and the time since the last step (m,)."""
        stop = heard.indptr[which + 1]
        start = np.maximum(heard.indptr[which], stop - self.params.window)
        at = start[:, None] + np.arange(int((stop - start).max()))
        inside = at < stop[:, None]
        at = np.where(inside, at, 0)
        kind = np.minimum(np.searchsorted(self.strengths, heard.weight[at]), len(self.strengths) - 1)
        gap = gap_codes(now - heard.when[stop - 1]) if self.params.timed else None
        return np.where(inside, heard.item[at], PAD), {"kind": np.where(inside, kind, 0)}, gap

    def because(self, history: Histories, item_rows: npt.ArrayLike, now: int) -> list[Because]:
        """By occlusion: how much less wanted an item is where one of the newest items is taken out of the history.

        The shares are those of the falls of log P; items whose absence lowers nothing are not named.
        """
        asked = np.asarray(item_rows, dtype=np.int64).ravel()
        heard = history.known(self.n_items)
        if self.reader is None or not len(heard.item):
            return [[] for _ in asked]
        newest = list(dict.fromkeys(heard.item[::-1].tolist()))[:_NAMED]
        keep = heard.item[None, :] != np.asarray(newest)[:, None]  # (items, lines)
        parts = [heard, *(heard.where(row) for row in keep)]
        many = Histories(np.concatenate([[0], np.cumsum([len(one.item) for one in parts])]).astype(np.int64),
                         *(np.concatenate([getattr(one, name) for one in parts])
                           for name in ("item", "when", "basket", "weight")))
        value = np.log(np.maximum(self.score(many, now), np.float32(1e-30)))  # (1 + items, n_items)
        inside = (asked >= 0) & (asked < self.n_items)
        return [_shares(newest, value[0, row] - value[1:, row]) if known else []
                for row, known in zip(np.where(inside, asked, 0).tolist(), inside.tolist(), strict=True)]

    def state(self) -> tuple[Arrays, Meta]:
        """The weights, the popularity, and the setting."""
        return ({"popularity": self.popularity, **{f"network/{name}": one for name, one in self.weights.items()}},
                {"params": asdict(self.params), "head": self.head})


def softmax(logits: Floats) -> Floats:
    """Rows that add up to 1, (m, n), in the place of the logits."""
    logits -= logits.max(-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(-1, keepdims=True)
    return logits


def _shares(items: list[int], falls: Floats) -> Because:
    falls = np.maximum(np.asarray(falls, dtype=np.float64), 0.0)
    total = float(falls.sum())
    if total <= 0:
        return []
    order = np.argsort(-falls, kind="stable")
    return [(items[at], float(falls[at] / total)) for at in order.tolist() if falls[at] > 0]
