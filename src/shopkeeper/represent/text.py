"""Texts as vectors: titles, categories, reviews and queries, Chinese and English; arrays in, arrays out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from shopkeeper.errors import BadInput, MissingExtra
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.words import say

__all__ = ["TextParams", "TextVectors", "joined", "terms"]

Floats: TypeAlias = npt.NDArray[np.float32]
Chinese: TypeAlias = Literal["auto", "jieba", "bigrams"]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+(?:['’][^\W_{_HAN}]+)?")
_IS_HAN = re.compile(f"[{_HAN}]")
_DENSE = 500  # rows or terms up to which the decomposition is done on a dense matrix


@dataclass(frozen=True)
class TextParams:
    """How texts become vectors.

    `dimensions` of a vector, at most; a term counts where at least `least` texts and at most the share `most` of them
    have it; of more terms than `terms`, those of the most texts stay. `chinese` runs are cut into words by jieba (the
    extra `shopkeeper[text]`) or into pairs of characters; `auto` takes jieba where it is installed.

    Raises:
        BadInput: A number lies outside what makes sense.
    """

    dimensions: int = 64
    least: int = 2
    most: float = 0.5
    terms: int = 50_000
    chinese: Chinese = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (("dimensions", 1, 10_000), ("least", 1, 10**9), ("most", 0.0, 1.0),
                                ("terms", 1, 10**8)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(say("{name} is {value}; it must lie between {low} and {high}.", name=name, value=value,
                                   low=low, high=high))


class TextVectors:
    """Texts to vectors of length 1, so that a product is a cosine: TF-IDF, then the first directions of its SVD.

    A term that stands c times in a text counts (1 + ln c) x (1 + ln((1 + n) / (1 + texts with it))), each text's
    counts are brought to length 1, and projected on the right singular vectors of the texts that were learned from.
    The sign of each is such that its largest entry is positive. A text of no known term is a vector of zeros.

    Source:
        Salton, Buckley (1988), Term-Weighting Approaches in Automatic Text Retrieval; Deerwester, Dumais, Furnas,
        Landauer, Harshman (1990), Indexing by Latent Semantic Analysis.

    >>> said = ["green tea", "black tea", "tea cup", "steel knife", "bread knife", "knife block"]
    >>> near = TextVectors.fit(said, TextParams(dimensions=2, least=1)).vectors(["white tea", "tea", "a knife"])
    >>> (near @ near[0] > 0.9).tolist()
    [True, True, False]
    """

    def __init__(self, known: Vocabulary, weight: Floats, directions: Floats, params: TextParams) -> None:
        self.known, self.weight, self.directions, self.params = known, weight, directions, params
        self._place = {term: place for place, term in enumerate(known.ids())}
        self._cut = _cutter(params.chinese)

    @classmethod
    def fit(cls, texts: Sequence[str | None], params: TextParams | None = None) -> TextVectors:
        """Learn terms, weights and directions.

        Args:
            texts: One a thing; the order changes nothing but the rows. None is an empty text.
            params: How.

        Raises:
            MissingExtra: jieba is asked for, and not installed.
        """
        params = params or TextParams()
        if params.chinese == "auto":
            params = TextParams(**{**asdict(params), "chinese": "jieba" if find_spec("jieba") else "bigrams"})
        cut = _cutter(params.chinese)
        counted = [_counts(terms(text or "", cut)) for text in texts]
        chosen = _chosen(counted, params)
        place = {term: number for number, (term, _) in enumerate(chosen)}
        stands = np.asarray([number for _, number in chosen], dtype=np.float64)
        weight = (1 + np.log((1 + len(texts)) / (1 + stands))).astype(np.float32)
        matrix = _matrix(counted, place, weight)
        return cls(Vocabulary([term for term, _ in chosen]), weight, _directions(matrix, params.dimensions), params)

    def vectors(self, texts: Iterable[str | None]) -> Floats:
        """One row a text, (n, d) float32, of length 1 or 0."""
        counted = [_counts(terms(text or "", self._cut)) for text in texts]
        found = _matrix(counted, self._place, self.weight) @ self.directions
        return _to_one(np.asarray(found, dtype=np.float32))

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """All that `restore` needs: named arrays, and a dictionary that JSON can hold."""
        known = {f"known_{name}": array for name, array in self.known.state().items()}
        return {**known, "weight": self.weight, "directions": self.directions}, {"params": asdict(self.params)}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> TextVectors:
        """The inverse of `state`: the same vectors, bit for bit.

        Raises:
            MissingExtra: The texts were cut by jieba, which is not installed here.
        """
        known = Vocabulary.restore({name: arrays[f"known_{name}"] for name in ("offsets", "data")})
        return cls(known, arrays["weight"], arrays["directions"], TextParams(**meta["params"]))


def terms(text: str, cut: Callable[[str], Iterable[str]] | None = None) -> list[str]:
    """The terms of a text, in order: words and numbers in lower case; Chinese runs as `cut` cuts them, or in pairs.

    >>> terms("Yunnan 普洱茶 357g")
    ['yunnan', '普洱', '洱茶', '357g']
    """
    found: list[str] = []
    for run in _RUNS.findall(unicodedata.normalize("NFKC", text).lower()):
        if not _IS_HAN.match(run):
            found.append(run)
        elif cut is not None:
            found += [word for word in cut(run) if word.strip()]
        else:
            found += [run[at:at + 2] for at in range(len(run) - 1)] or [run]
    return found


def joined(*blocks: npt.ArrayLike) -> Floats:
    """Several vectors of the same things as one: each brought to length 1, so that cosines are averaged.

    Args:
        blocks: (n, d) each: text vectors, sentence vectors that were made elsewhere, anything.

    Raises:
        BadInput: The blocks are not about the same number of things, or hold what is no number.

    >>> joined([[3.0, 4.0]], [[2.0]]).astype(float).round(3).tolist()
    [[0.424, 0.566, 0.707]]
    """
    arrays = [np.asarray(block, dtype=np.float32) for block in blocks]
    if len({len(one) for one in arrays}) > 1 or any(one.ndim != 2 for one in arrays):
        raise BadInput(say("vectors of shapes {shapes} are not of the same things.",
                           shapes=", ".join(str(one.shape) for one in arrays)),
                       do=[say("give one row a thing in every block.")])
    if not all(np.isfinite(one).all() for one in arrays):
        raise BadInput(say("the vectors hold numbers that are not finite."),
                       do=[say("give zeros for things without a vector.")])
    return _to_one(np.concatenate([_to_one(one) for one in arrays], axis=1))


def _cutter(chinese: Chinese) -> Callable[[str], Iterable[str]] | None:
    if chinese != "jieba":
        return None
    if find_spec("jieba") is None:
        raise MissingExtra(say("these texts are cut by jieba, which is not installed."),
                           do=[say("pip install 'shopkeeper[text]'"),
                               say("take pairs of characters: chinese='bigrams'")],
                           why=say("other words would be other vectors."))
    import jieba  # type: ignore[import-not-found,unused-ignore]

    jieba.setLogLevel(60)
    return lambda run: jieba.cut(run, HMM=False)


def _counts(found: list[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for term in found:
        counted[term] = counted.get(term, 0) + 1
    return counted


def _chosen(counted: list[dict[str, int]], params: TextParams) -> list[tuple[str, int]]:
    """The terms that count, ascending, and in how many texts each stands."""
    stands: dict[str, int] = {}
    for one in counted:
        for term in one:
            stands[term] = stands.get(term, 0) + 1
    widest = max(params.least, params.most * len(counted))
    fit = [(term, number) for term, number in stands.items() if params.least <= number <= widest]
    return sorted(sorted(fit, key=lambda one: (-one[1], one[0]))[:params.terms])


def _matrix(counted: list[dict[str, int]], place: Mapping[str, int], weight: Floats) -> Any:
    """TF-IDF (texts, terms), sparse float32, rows of length 1."""
    columns, values, indptr = [], [], [0]
    for one in counted:
        here = sorted((place[term], number) for term, number in one.items() if term in place)
        columns += [column for column, _ in here]
        values += [number for _, number in here]
        indptr.append(len(columns))
    at = np.asarray(columns, dtype=np.int64)
    data = (1 + np.log(np.asarray(values, dtype=np.float64))) * weight[at]
    matrix = sparse.csr_matrix((data, at, indptr), shape=(len(counted), len(weight)))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(np.maximum(length, 1e-12), np.diff(matrix.indptr))
    return matrix.astype(np.float32)


def _directions(matrix: Any, dimensions: int) -> Floats:
    """The first right singular vectors, (terms, d); texts in another order give the same up to rounding."""
    d = min(dimensions, *matrix.shape)
    if d == 0:
        return np.zeros((matrix.shape[1], 0), dtype=np.float32)
    wide = matrix.astype(np.float64)
    if min(matrix.shape) <= max(_DENSE, d + 1):
        right = np.linalg.svd(wide.toarray(), full_matrices=False)[2][:d]
    else:
        _, strength, right = svds(wide, k=d, v0=np.ones(min(matrix.shape)))
        right = right[np.argsort(-strength, kind="stable")]
    largest = right[np.arange(len(right)), np.abs(right).argmax(axis=1)]
    return np.asarray((right * np.where(largest < 0, -1.0, 1.0)[:, None]).T, dtype=np.float32)


def _to_one(vectors: Floats) -> Floats:
    """Rows brought to length 1; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), dtype=np.float32)
