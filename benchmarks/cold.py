"""New items on their first day and new customers at their first event, beside the plain rivals.

New items of Amazon Beauty: the items are cut into ten parts by a seeded draw; nine teach, every event of the tenth is
taken out of the log. Each customer who took one of them is asked about at the first time, with what it took before;
all items of that part are ranked. Settings were chosen on part 8, what is printed is part 9. The content are the
attributes of an item. New items of the simulated shop: those that arrive after the cut of a time split, with titles,
category, brand and price; what each customer takes of them in the 28 days after it. The plain rivals: how popular a
category is, for everybody and times its share of the customer's history, in its best of several forms.
New customers: a tenth of the customers is taken out of the log; from their first event alone, the next is to be told.
By channel and hour: what people of the simulated shop turn to first, where nothing else is known of them.
Intervals are those of the difference to the rival, 95 %, over customers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from common import Report, arguments, data_folder, print_table
from shopkeeper import Shop
from shopkeeper.evidence.metrics import Relevant, ndcg_at, recall_at
from shopkeeper.evidence.trial import paired_difference, relative_difference
from shopkeeper.recommend.inputs import Log, read_listed, read_log
from shopkeeper.recommend.methods.base import DAY, Histories, Interactions, loudness
from shopkeeper.recommend.methods.factors import Factors, FactorsParams
from shopkeeper.recommend.methods.neighbours import Neighbours, NeighboursParams
from shopkeeper.recommend.methods.newcomers import Newcomers
from shopkeeper.recommend.methods.popular import Popular, PopularParams
from shopkeeper.represent.content import marked, marks
from shopkeeper.represent.text import TextParams, TextVectors

K = 10
NOW = 2**62
PARTS = 10
Scores = npt.NDArray[Any]
Sequences = list[npt.NDArray[np.int64]]


def judged(scores: Mapping[str, Scores], wanted: Relevant, who: npt.NDArray[np.int64], ours: str,
           rivals: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Recall and NDCG of every table of scores (cases, candidates), and ours against the best of the rivals."""
    chance = np.random.default_rng(0).random(next(iter(scores.values())).shape[1]) * 1e-9
    ranked = {name: np.argsort(-(np.asarray(one, np.float64) + chance), axis=1, kind="stable")[:, :K]
              for name, one in scores.items()}
    recall = {name: recall_at(rows, wanted, K) for name, rows in ranked.items()}
    found = {name: {f"recall@{K}": float(recall[name].mean()), f"ndcg@{K}": float(ndcg_at(rows, wanted, K).mean())}
             for name, rows in ranked.items()}
    best = max(rivals, key=lambda name: found[name][f"recall@{K}"])
    gap = paired_difference(recall[ours], recall[best], who)
    share = relative_difference(recall[ours], recall[best], who)
    found[ours] |= {"over": best, "difference": gap.estimate, "low": gap.low, "high": gap.high,  # type: ignore[dict-item]
                    **({} if share is None else {"relative": share.estimate, "relative_low": share.low})}
    return found


def log_of(sequences: Sequences, n_items: int) -> Interactions:
    """Lines of these sequences; the place in a sequence is the time."""
    sizes = [len(one) for one in sequences]
    step = np.concatenate([np.arange(size) for size in sizes]).astype(np.int64)
    return Interactions(np.repeat(np.arange(len(sizes)), sizes).astype(np.int32),
                        np.concatenate(sequences).astype(np.int32), step, np.arange(len(step), dtype=np.int64),
                        np.ones(len(step), np.float32), len(sizes), n_items)


def beauty() -> tuple[Sequences, int, list[list[str]]]:
    """Sequences of item rows, how many items, and the attributes of each item as marks."""
    folder = data_folder() / "sequences"
    sequences = [np.asarray(line.split()[1:], np.int64) - 1
                 for line in (folder / "beauty.txt").read_text().splitlines()]
    n_items = 1 + max(int(one.max()) for one in sequences)
    given = json.loads((folder / "beauty_item_attributes.json").read_text())
    return sequences, n_items, [[f"{place}:{value}" if place == 0 else str(value)
                                 for place, value in enumerate(given.get(str(row + 1), []))] for row in range(n_items)]


def plain_rivals(histories: Histories, sets: Mapping[str, Any], popularity: Scores, candidates: Scores,
                 recency: float) -> dict[str, Scores]:
    """Scores (cases, candidates) of rules about categories; `sets` are (items, categories) matrices of ones."""
    heard = sparse.csr_matrix((loudness(histories, recency, 10_000), histories.item, histories.indptr),
                              shape=(len(histories), len(popularity)))
    known = popularity > 0
    found = {}
    for name, kinds in sets.items():
        each = np.asarray(kinds.T @ popularity).ravel() / np.maximum(np.asarray(kinds[known].sum(axis=0)).ravel(), 1)
        found[f"popular {name}"] = np.tile((kinds @ each)[candidates], (len(histories), 1))
        found[f"popular {name} x share"] = (heard @ kinds @ sparse.diags(each) @ kinds[candidates].T).toarray()
    return found


def one_hot(lists: list[list[str]]) -> Any:
    """(items, values) of ones."""
    place = {value: at for at, value in enumerate(sorted({value for one in lists for value in one}))}
    column = [place[value] for one in lists for value in one]
    return sparse.csr_matrix((np.ones(len(column)), column, np.cumsum([0, *(len(one) for one in lists)])),
                             shape=(len(lists), len(place)))


def new_items_of_beauty(part: int) -> dict[str, dict[str, float]]:
    """Every method on the items of one part."""
    sequences, n_items, attributes = beauty()
    group = np.empty(n_items, dtype=np.int64)
    group[np.random.default_rng(0).permutation(n_items)] = np.arange(n_items) * PARTS // n_items
    new = group == part
    order = np.concatenate([np.flatnonzero(~new), np.flatnonzero(new)])  # known items first
    row = np.argsort(order)
    n_known = int((~new).sum())
    known = [row[one[~new[one]]] for one in sequences]
    log = log_of(known, n_known)
    first = [int(np.argmax(new[one])) if new[one].any() else 0 for one in sequences]
    who = np.asarray([u for u, at in enumerate(first) if at and (~new[sequences[u][:at]]).any()])
    lists = [row[sequences[u][:first[u]][~new[sequences[u][:first[u]]]]] for u in who]
    sizes = np.cumsum([0, *(len(one) for one in lists)])
    item = np.concatenate(lists)
    histories = Histories(sizes, item, np.arange(len(item)), np.arange(len(item)), np.ones(len(item), np.float32))
    wanted = Relevant.single([row[sequences[u][first[u]]] - n_known for u in who])
    marks_ = [attributes[one] for one in order]
    popularity = np.bincount(log.item, minlength=n_items).astype(np.float64)
    sets = {"first attribute": one_hot([one[:1] for one in marks_]), "attributes": one_hot(marks_),
            "last attribute": one_hot([one[-1:] for one in marks_])}
    scores = plain_rivals(histories, sets, popularity, np.arange(n_known, n_items), 0.7)
    rivals = tuple(scores)
    newcomers = Newcomers(marked(marks_), n_known, popularity[:n_known] > 0)
    scores["newcomers over neighbours"] = newcomers.score(Neighbours().fit(log, NOW, NeighboursParams(share=1.0)),
                                                          histories, NOW)
    scores["newcomers over popular"] = newcomers.score(Popular().fit(log, NOW, PopularParams(None)), histories, NOW)
    return judged(scores, wanted, who, "newcomers over neighbours", rivals)


def new_items_of_a_shop(seed: int, *, customers: int, items: int) -> dict[str, dict[str, float]]:
    """The same where items arrive in a simulated shop: what arrives after the cut, in the 28 days that follow it."""
    shop = Shop.simulated(customers=customers, items=items, days=180, seed=seed)
    log = read_log(shop)
    cut = log.now + 1 - 28 * DAY
    part = log.interactions
    past, later = part.before(cut), part.where(part.when >= cut)
    seen = np.bincount(past.item, minlength=past.n_items) > 0
    order = np.concatenate([np.flatnonzero(seen), np.flatnonzero(~seen)])
    row, n_known = np.argsort(order), int(seen.sum())
    log_ = Interactions(past.customer, row[past.item].astype(np.int32), past.when, past.basket, past.weight,
                        past.n_customers, n_known)
    fresh = ~seen[later.item] & np.isin(later.customer, past.customer)
    who, case = np.unique(later.customer[fresh].astype(np.int64), return_inverse=True)
    wanted = Relevant.pairs(case, row[later.item[fresh]] - n_known, len(who))
    histories = Histories.of(log_, who)
    ids = np.asarray(log.items.ids(), dtype=object)[order]
    title, category, brand, price = read_listed(shop, ids)
    popularity = np.bincount(log_.item, log_.weight, minlength=len(ids))
    sets = {"category": one_hot([[str(one)] for one in category]),
            "top category": one_hot([[str(one).split(" > ")[0]] for one in category])}
    scores = plain_rivals(histories, sets, popularity, np.arange(n_known, len(ids)), 0.97)
    rivals = tuple(scores)
    content = marked(marks(category, brand, price))
    texts = TextVectors.fit(title.tolist(), TextParams(chinese="bigrams")).vectors(title.tolist())
    spoken = popularity[:n_known] > 0
    fitted = {"neighbours": Neighbours().fit(log_, cut, NeighboursParams(share=1.0, recency=0.97)),
              "factors": Factors().fit(log_, cut, FactorsParams(recency=0.95))}
    for name, one in fitted.items():
        scores[f"newcomers over {name}"] = Newcomers(content, n_known, spoken).score(one, histories, cut)
        scores[f"newcomers over {name}, with titles"] = Newcomers(content, n_known, spoken, texts=texts).score(
            one, histories, cut)
    return judged(scores, wanted, who, "newcomers over neighbours", rivals)


def new_customers_of_beauty() -> dict[str, dict[str, float]]:
    """The second item of customers who are not in the log, from the first."""
    sequences, n_items, attributes = beauty()
    new = np.random.default_rng(1).permutation(len(sequences)) * PARTS // len(sequences) == PARTS - 1
    log = log_of([one for one, out in zip(sequences, new, strict=True) if not out], n_items)
    first, second = (np.asarray([one[place] for one, out in zip(sequences, new, strict=True) if out])
                     for place in (0, 1))
    m = len(first)
    histories = Histories(np.arange(m + 1), first, np.zeros(m, np.int64), np.arange(m), np.ones(m, np.float32))
    popularity = np.bincount(log.item, minlength=n_items).astype(np.float64)
    kinds = one_hot([one[-1:] for one in attributes])
    alike = (kinds[first] @ kinds.T).toarray()
    scores: dict[str, Scores] = {
        "popular": Popular().fit(log, NOW, PopularParams(None)).score(histories, NOW),
        "popular in category": alike * popularity + popularity * 1e-6,
        "neighbours": Neighbours().fit(log, NOW, NeighboursParams()).score(histories, NOW),
        "factors": Factors().fit(log, NOW, FactorsParams()).score(histories, NOW)}
    for one in scores.values():
        one[np.arange(m), first] = -1.0
    return judged(scores, Relevant.single(second), np.arange(m), "neighbours", ("popular", "popular in category"))


def by_channel_and_hour(seed: int, *, customers: int, items: int) -> dict[str, dict[str, float]]:
    """The first item of people who are not in the log, from nothing but where and when they came."""
    shop = Shop.simulated(customers=customers, items=items, days=180, seed=seed)
    log = read_log(shop)
    events = shop.events()
    rows = shop.engine.run(events.filter(events.item_id.notnull()).select(
        person=events.customer_id.coalesce(events.anonymous_id), ts=events.ts.epoch_seconds().floor().cast("int64"),
        item=events.item_id, channel=events.utm_source))
    return _first_items(log, rows)


def _first_items(log: Log, rows: Any) -> dict[str, dict[str, float]]:
    person = np.unique(np.asarray(rows["person"].to_pylist(), dtype=str), return_inverse=True)[1]
    item, ts = log.items.rows(rows["item"]), np.asarray(rows["ts"].to_numpy(), np.int64)
    channel = np.unique(np.asarray([str(one) for one in rows["channel"].to_pylist()]), return_inverse=True)[1]
    order = np.lexsort((ts, person))
    firsts = order[np.unique(person[order], return_index=True)[1]]
    cell = channel[firsts] * 4 + (ts[firsts] // 3600 % 24) // 6
    when, item = ts[firsts], item[firsts]
    late = when >= np.quantile(when, 0.7)
    n_items, n_cells = len(log.items), int(cell.max()) + 1
    counts = np.bincount(cell[~late] * n_items + item[~late], minlength=n_cells * n_items).reshape(n_cells, n_items)
    everybody = counts.sum(axis=0) / counts.sum()
    told = (counts + 50 * everybody) / (counts.sum(axis=1, keepdims=True) + 50)
    return judged({"popular first items": np.tile(everybody, (int(late.sum()), 1)),
                   "by channel and hour": told[cell[late]]}, Relevant.single(item[late]), np.arange(int(late.sum())),
                  "by channel and hour", ("popular first items",))


def main() -> None:
    given = arguments(__doc__ or "", ["beauty", "simulated"])
    report = Report("cold", "new items: all their events taken out, ranked among themselves; new customers: not in the "
                            "log; settings chosen on part 8 of Beauty's items", seed=given.seed,
                    limit={"new items": {"relative": 0.10}})
    size = {"customers": 400, "items": 800} if given.quick else {"customers": 3_000, "items": 1_000}
    runs = {"beauty": {"new items of beauty": lambda: new_items_of_beauty(PARTS - 1),
                       "new customers of beauty": new_customers_of_beauty},
            "simulated": {"new items of a simulated shop": lambda: new_items_of_a_shop(given.seed + 11, **size),
                          "by channel and hour": lambda: by_channel_and_hour(given.seed + 11, **size)}}
    for data in given.data:
        for name, act in runs[data].items():
            report.figures[name] = act()
            print_table(name, report.figures[name])
    report.print_last()


if __name__ == "__main__":
    main()
