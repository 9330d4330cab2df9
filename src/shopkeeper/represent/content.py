"""What an item is made of, as marks and as likeness: category path, brand, price band, words; no event is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shopkeeper.errors import BadInput
from shopkeeper.represent.text import TextParams, TextVectors, terms
from shopkeeper.words import say

__all__ = ["Known", "described", "known_of", "marked", "marks", "nearest", "of_kind"]

Texts: TypeAlias = "Sequence[str | None] | npt.NDArray[Any]"

_BANDS = 3  # price bands of a category
_WORDS = 32  # numbers of a text vector for a network
_CELLS = 8_000_000  # likenesses that are held at a time


@dataclass(frozen=True)
class Known:
    """What is known of V items beside their ids, for the item tower of a network.

    Attributes:
        codes: Name -> (V,) int64 codes from 0, -1 where it is not known.
        vectors: (V, k) float32 of their texts, zeros where there is none; None without.
    """

    codes: Mapping[str, npt.NDArray[np.int64]]
    vectors: npt.NDArray[np.float32] | None = None


def known_of(lists: Sequence[Sequence[str]]) -> Known | None:
    """The marks of items as codes: top category, category path, brand, price band; and their words as vectors.

    Args:
        lists: V lists of marks (`described`).

    Returns:
        None where no item has any mark.

    >>> known_of([["category:Toys"], [], ["category:Toys", "brand:Acme"]]).codes["brand"].tolist()
    [-1, -1, 0]
    """
    codes = {}
    for kind in ("top", "category", "brand", "tier"):
        mine = of_kind(lists, kind)
        place = {mark: at for at, mark in enumerate(sorted({mark for one in mine for mark in one}))}
        if place:
            codes[kind] = np.asarray([place[one[0]] if one else -1 for one in mine], dtype=np.int64)
    words = [" ".join(mark.removeprefix("word:") for mark in one) for one in of_kind(lists, "word")]
    vectors = TextVectors.fit(words, TextParams(dimensions=_WORDS, chinese="bigrams")).vectors(words) if any(
        words) else None
    return Known(codes, vectors) if codes or vectors is not None else None


def marks(category: Texts, brand: Texts, price: npt.ArrayLike) -> list[list[str]]:
    """The marks of each item: every step of its category path, its brand, and its price band within its category.

    Args:
        category: (n,) paths such as `Toys > Trains`, None where there is none.
        brand: (n,) names, None where there is none.
        price: (n,) NaN where unknown. A band is a third of the items of one category whose price is known.

    >>> marks(["Toys > Trains"], ["Acme"], [9.5])
    [['category:Toys', 'category:Toys > Trains', 'brand:Acme', 'price:Toys > Trains:0']]
    """
    prices = np.asarray(price, dtype=np.float64)
    band = np.full(len(prices), -1, dtype=np.int64)
    paths = [" > ".join(_steps(one)) for one in category]
    of_path: dict[str, list[int]] = {}
    for row in np.flatnonzero(np.isfinite(prices)).tolist():
        of_path.setdefault(paths[row], []).append(row)
    for rows in of_path.values():
        below = np.searchsorted(np.sort(prices[rows]), prices[rows])
        band[rows] = below * _BANDS // len(rows)
    found = []
    for path, name, cost, third in zip(paths, brand, prices, band.tolist(), strict=True):
        steps = _steps(path)
        found.append([*(f"category:{' > '.join(steps[:at + 1])}" for at in range(len(steps))),
                      *([f"brand:{name}"] if name else []), *([f"price:{path}:{third}"] if np.isfinite(cost) else [])])
    return found


def described(title: Texts, category: Texts, brand: Texts, price: npt.ArrayLike) -> list[list[str]]:
    """The marks of each item and the words of its title; a word that only one of these items has says nothing.

    Args:
        title: (n,) None where there is none.
        category, brand, price: As of `marks`.

    >>> described(["Blue train", "Red train"], ["Toys", None], [None, None], [float("nan")] * 2)
    [['category:Toys', 'word:train'], ['word:train']]
    """
    words = [sorted(set(terms(one or ""))) for one in title]
    times = Counter(word for one in words for word in one)
    return [[*mine, *(f"word:{word}" for word in said if times[word] > 1)]
            for mine, said in zip(marks(category, brand, price), words, strict=True)]


def of_kind(lists: Iterable[Sequence[str]], kind: str) -> list[list[str]]:
    """Of each item's marks those of one kind.

    Args:
        lists: What `marks` or `described` gave.
        kind: `top` (the first step of the category path), `category` (the whole path), `brand`, `tier` (the price band,
            whatever the category) or `word`.

    >>> of_kind([["category:Toys", "category:Toys > Trains", "price:Toys > Trains:2"]], "tier")
    [['2']]
    """
    found = []
    for one in lists:
        path = [mark for mark in one if mark.startswith("category:")]
        if kind in ("top", "category"):
            found.append(path[:1] if kind == "top" else path[-1:])
        elif kind == "tier":
            found.append([mark.rpartition(":")[2] for mark in one if mark.startswith("price:")])
        else:
            found.append([mark for mark in one if mark.startswith(f"{kind}:")])
    return found


def _steps(path: str | None) -> list[str]:
    return [step.strip() for step in (path or "").split(">") if step.strip()]


def marked(lists: Iterable[Iterable[str]]) -> Any:
    """Marks as a sparse matrix (items, marks), float64: the rarer a mark the heavier, each row of length 1.

    A mark that m of n items have weighs ln((1 + n) / (1 + m)); an item whose marks all weigh nothing has no length.

    >>> marked([["a", "b"], ["a"], ["a", "c"]]).toarray().round(2).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    rows = [sorted(set(one)) for one in lists]
    place = {mark: at for at, mark in enumerate(sorted({mark for one in rows for mark in one}))}
    column = np.asarray([place[mark] for one in rows for mark in one], dtype=np.int64)
    indptr = np.cumsum([0, *(len(one) for one in rows)])
    weight = np.log((1 + len(rows)) / (1 + np.bincount(column, minlength=len(place))))
    matrix = sparse.csr_matrix((weight[column], column, indptr), shape=(len(rows), len(place)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(matrix.indptr))
    return matrix


def nearest(new: Any, known: Any, keep: int, power: float,
            texts: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None) -> Any:
    """How much each known item has to say about each new one: rows that add up to 1, or are empty.

    Args:
        new: (a, d) rows of length 1 of items to place.
        known: (b, d) the same of items to compare with.
        keep: How many of the most alike count; ties with the last of them all do.
        power: Their weights are likeness to this power.
        texts: (a, t) and (b, t) vectors of length 1; the likeness is then the mean of both cosines.

    Returns:
        (a, b) sparse.

    Raises:
        BadInput: There are not as many texts as items.
    """
    if texts is not None and (len(texts[0]), len(texts[1])) != (new.shape[0], known.shape[0]):
        raise BadInput(say("{texts} text vectors for {items} items.", texts=len(texts[0]) + len(texts[1]),
                           items=new.shape[0] + known.shape[0]), do=[say("give one row a thing in every block.")])
    turned, step = sparse.csr_matrix(known).T.tocsr(), max(1, _CELLS // max(1, known.shape[0]))
    parts = []
    for start in range(0, new.shape[0], step):
        like = (new[start:start + step] @ turned).toarray()
        if texts is not None:
            like = (like + texts[0][start:start + step] @ texts[1].T) / 2
        like = np.maximum(like, 0.0)
        if keep < like.shape[1]:
            least = np.partition(like, -keep, axis=1)[:, -keep][:, None]
            like = np.where(like >= np.maximum(least, 1e-12), like, 0.0)
        like **= power
        total = like.sum(axis=1, keepdims=True)
        parts.append(sparse.csr_matrix(like / np.where(total > 0, total, 1.0)))
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, known.shape[0]))
