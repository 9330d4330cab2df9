import json
import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shopkeeper.events.finding import iban_length, is_card, is_chinese_id
from shopkeeper.events.personal import MASKS, find, mask, mask_json, masked
from shopkeeper.events.schema import EVENTS
from shopkeeper.simulate.personal import HALVES, LANGUAGES, labelled


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("half", HALVES)
def test_of_what_is_personal_98_of_100_are_found_and_19_of_20_finds_are_right(half, language):
    truths, hit, finds, right = Counter(), Counter(), Counter(), Counter()
    for one in labelled(1_000, half=half, language=language, seed=5):
        found = find(one.text, one.name)
        truths.update(truth.kind for truth in one.truth)
        finds.update(each.kind for each in found)
        hit.update(truth.kind for truth in one.truth
                   if any(f.kind == truth.kind and f.start <= truth.start and f.end >= truth.end for f in found))
        right.update(f.kind for f in found
                     if any(f.kind == t.kind and f.start < t.end and f.end > t.start for t in one.truth))

    assert set(truths) == set(MASKS)
    assert min(truths.values()) >= 10
    assert all(hit[kind] >= 0.98 * truths[kind] for kind in MASKS)
    assert all(right[kind] >= 0.95 * finds[kind] for kind in MASKS)


def test_the_truth_is_what_it_is_called():
    made = [(truth.kind, one.text[truth.start:truth.end]) for one in labelled(400, half="seen", language="zh")
            for truth in one.truth]

    assert all(is_chinese_id(cell) or re.fullmatch(r"\d{3}-\d{2}-\d{4}", cell) for kind, cell in made if kind == "id")
    assert all(iban_length(cell) == len(cell) for kind, cell in made if kind == "iban")
    assert all(is_card(cell) for kind, cell in made if kind == "card")


def test_a_column_is_masked_as_its_texts_are_one_by_one():
    texts = [one.text for language in LANGUAGES for half in HALVES
             for one in labelled(300, half=half, language=language, seed=8) if not one.name]
    columns = {name: pa.nulls(len(texts), EVENTS.field(name).type) for name in EVENTS.names} | {"text": pa.array(texts)}

    table, counts = masked(pa.table(columns, schema=EVENTS))

    assert table["text"].to_pylist() == [mask(text) for text in texts]
    assert counts.total() == sum(len(find(text)) for text in texts)
    assert pc.sum(pc.count_substring(table["text"], MASKS["email"])).as_py() == counts["email"]


def test_fields_are_masked_in_a_column_of_objects_as_one_by_one():
    objects = [json.dumps(fields, ensure_ascii=False) for language in LANGUAGES for half in HALVES
               for one in labelled(400, half=half, language=language, seed=9) if one.name
               for fields in ({one.name: one.text}, {"to": {one.name: one.text}, "n": 1},
                              {"in": json.dumps({one.name: one.text})})]
    columns = {name: pa.nulls(len(objects), EVENTS.field(name).type) for name in EVENTS.names}

    table, counts = masked(pa.table(columns | {"props": pa.array(objects)}, schema=EVENTS))

    assert table["props"].to_pylist() == [mask_json(text) for text in objects]
    assert min(counts[kind] for kind in MASKS) > 0
