"""Everybody gets another pseudonym and keeps what they did; what comes again is known; no old pseudonym stays."""

import re
import shutil
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shopkeeper import identity, ledger, privacy
from shopkeeper.errors import BadInput, NotAShop, ShopBusy
from shopkeeper.events.mapping import Mapping
from shopkeeper.events.pseudonyms import unseal
from shopkeeper.events.renaming import Renaming
from shopkeeper.events.schema import EVENTS, TABLES
from shopkeeper.recommend.assignment import TABLE as EXPERIMENTS
from shopkeeper.represent.vocabulary import Vocabulary
from shopkeeper.shop import Shop
from shopkeeper.trends.kept import FIRINGS
from shopkeeper.trends.ringing import ring_id
from shopkeeper.warehouse import index, keyfiles, models, rotation
from shopkeeper.warehouse.backup import back_up, restore
from shopkeeper.warehouse.collector import Collector
from shopkeeper.warehouse.inspection import inspect
from shopkeeper.warehouse.manifest import Segment
from shopkeeper.warehouse.tables import PERSONAL, PUBLISHED, QUARANTINE, STORED, declared

TIME = 1_700_000_000_000_000
FORM = re.compile(r"[ca]_[a-z2-7]{24}")
STRANGER = "c_" + "stranger" * 3
WHO = ("ann", "bob", "cyd")


def view(number, **more):
    return {"event": "view_item", "ts": f"2023-05-{number % 9 + 1:02d}T10:00:00Z", "customer_id": WHO[number % 3],
            "anonymous_id": f"phone {number % 4}", "item_id": f"i{number % 5}", **more}


def order(number):
    items = [{"item_id": "i1", "quantity": 1, "price": "2.00"}, {"item_id": "i2", "quantity": 2, "price": "1"}]
    return {"event_id": f"o{number}", "event": "purchase", "ts": "2023-05-09T11:00:00Z", "customer_id": WHO[number % 3],
            "order_id": f"o{number}", "currency": "EUR", "color": "red", "items": items}


WITH_IDS = [*(view(n, event_id=f"e{n}") for n in range(12)), *(order(n) for n in range(3)),
            {"event_id": "g", "event": "purchase", "ts": "2023-05-09T12:00:00Z", "order_id": "guest", "value": "3",
             "currency": "EUR"},
            view(4, event_id="stranger", customer_id=STRANGER)]
NO_IDS = [view(n) for n in (1, 2, 2, 3)]
RECEIPTS = [{"event": "purchase", "ts": "2023-05-09T13:00:10Z", "customer_id": WHO[n % 2], "item_id": f"i{n}",
             "value": "2", "currency": "EUR", "event_id": f"r{n}"} for n in range(4)]
BY_MINUTE = {"order_rule": "customer-minute"}


def filled(place, old=False):
    """A shop with something of everything that can hold a pseudonym, perhaps one that began with one key for all."""
    shop = Shop.open(place)
    if old:
        key = shop.keys().pseudonym
        keyfiles.write(place / "keys" / "pseudonym.key", key.hex())
    sent(shop)
    ann = shop.person("ann")
    shop.ingest([view(7, event_id="said", url=f"https://shop.example/{ann}?x=1", note=f"for {ann}"),
                 {"event_id": "bad", "event": "levitate", "ts": "2023-05-02", "customer_id": ann}], received_at=TIME)
    shop.ingest([{"customer_id": "ann", "town": "Ulm"}], table="customers")
    shop.ingest([{"customer_id": "bob", "town": "Bonn"}], table="customers")
    identity.join(shop)
    vocabulary = Vocabulary([ann, shop.person("bob")])
    arrays = {f"vocabulary.{name}": array for name, array in vocabulary.state().items()}
    row = {"id": ring_id("burst", TIME, ann), "rule": "burst", "until": TIME, "who": ann}
    with shop.store.write("test") as writer:
        made = models.install(writer, writer.manifest, "recommend.audience", arrays, {"method": "popular"})
        fired = pa.Table.from_pylist([row], schema=declared(FIRINGS))
        writer.commit(writer.publish(made, FIRINGS, fired, TIME))
    shop.refresh()
    return shop


def sent(shop):
    """The same records, however often: all are new the first time."""
    done = [shop.ingest(WITH_IDS, received_at=TIME), shop.ingest(NO_IDS, received_at=TIME),
            shop.ingest(RECEIPTS, mapping=Mapping(**BY_MINUTE), received_at=TIME)]
    return [(one.stored, one.duplicate, one.quarantined) for one in done]


@pytest.fixture(scope="module", params=["new", "old"])
def both(request, tmp_path_factory):
    """A shop, and the same after a rotation."""
    place = tmp_path_factory.mktemp(request.param)
    before = filled(place / "before", request.param == "old")
    shutil.copytree(place / "before", place / "after")
    after = Shop.open(place / "after")
    answer = privacy.rotate(after)
    return before, after, answer


def pseudonyms(shop):
    """Every pseudonym in any file of the folder, whether the manifest names it or not."""
    found = set()
    for path in sorted(shop.path.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            texts = [str(cell) for column in table.columns if pa.types.is_string(column.type)
                     for cell in column.to_pylist()]
        elif path.suffix == ".vault":
            texts = unseal(path.read_bytes(), shop.keys().vault).column("pseudonym").to_pylist()
        else:
            texts = [path.read_bytes().decode("latin-1")] if path.is_file() else []
        found |= {one for text in texts for one in FORM.findall(text)}
    return found


def events(shop):
    return {(row["event_id"], row["line"]): row for segment in shop.manifest.segments
            for row in pq.read_table(shop.path / segment.file, columns=EVENTS.names).to_pylist()}


def groups(shop, column):
    """The events of each person, without the person's name."""
    found = {}
    for name, row in events(shop).items():
        if row[column] is not None:
            found.setdefault(row[column], set()).add(name)
    return found


def resolved(shop):
    return {row["pseudonym"]: row["identity"] for file in shop.manifest.vault
            for row in unseal((shop.path / file).read_bytes(), shop.keys().vault).to_pylist()}


def test_no_old_pseudonym_is_anywhere_in_the_folder(both):
    before, after, answer = both

    old, new = pseudonyms(before), pseudonyms(after)
    assert len(old) == len(new) == 8  # three customers, four phones, a stranger
    assert old & new == set()
    assert {row["measure"]: row["records"] for row in answer.table.to_pylist()} == {
        "pseudonyms": 8, "pseudonyms that the vault cannot resolve": 1, "event lines": before.manifest.rows}
    assert before.keys().pseudonym.hex() not in (after.path / "keys" / "pseudonym.key").read_text().split("\n", 1)[1]


@pytest.mark.parametrize("column", ["customer_id", "anonymous_id", "order_id"])
def test_each_keeps_all_events_and_the_rest_of_each_event_stays(both, column):
    before, after, _ = both

    assert sorted(map(sorted, groups(before, column).values())) == sorted(map(sorted, groups(after, column).values()))
    people = {"customer_id", "anonymous_id", "order_id", "url", "props"}
    rest = [{key: {name: cell for name, cell in row.items() if name not in people} for key, row in events(one).items()}
            for one in (before, after)]
    assert rest[0] == rest[1]


def test_the_vault_resolves_the_new_ones_and_the_shop_finds_people_by_their_own_names(both):
    before, after, _ = both

    assert sorted(resolved(before).values()) == sorted(resolved(after).values())
    for name in WHO:
        assert resolved(after)[after.person(name)] == name
        assert groups(before, "customer_id")[before.person(name)] == groups(after, "customer_id")[after.person(name)]


def test_tables_models_texts_and_rejected_records_name_the_same_people(both):
    before, after, _ = both
    ann = after.person("ann")

    assert f"/{ann}?" in events(after)["said", 0]["url"]
    assert f"for {ann}" in events(after)["said", 0]["props"]
    assert ann in pq.read_table(after.path / after.manifest.quarantine[0])["record"][0].as_py()
    customers = after.store.read_table(after.manifest, "customers").to_pylist()
    assert {row["customer_id"]: row["props"] for row in customers} == {
        ann: '{"town":"Ulm"}', after.person("bob"): '{"town":"Bonn"}'}
    assert [len(kept) for kept in after.manifest.former.values()] == [len(x) for x in before.manifest.former.values()]
    joins = [one.store.read_table(one.manifest, "facts/identity") for one in (before, after)]
    firing = after.store.read_table(after.manifest, FIRINGS).to_pylist()[0]
    assert (firing["who"], firing["id"]) == (ann, ring_id("burst", TIME, ann))
    rest = [one.drop_columns(["anonymous_id", "customer_id"]) for one in joins]
    assert rest[0] == rest[1]
    assert {*joins[1]["customer_id"].to_pylist()} > {after.person(name) for name in WHO}
    model = after.installed("recommend.audience")
    vocabulary = Vocabulary.restore({name: model.arrays[f"vocabulary.{name}"] for name in ("offsets", "data")})
    assert vocabulary.ids() == [ann, after.person("bob")]
    assert inspect(after.store, after.manifest).faults == ()


def test_what_was_stored_before_is_a_duplicate_with_and_without_an_id_and_another_body_a_conflict(both, copy_of):
    shop = copy_of(both[1])

    assert sent(shop) == [(0, len(WITH_IDS), 0), (0, len(NO_IDS), 0), (0, len(RECEIPTS), 0)]
    other = shop.ingest([view(1, event_id="e1", customer_id="dan")], received_at=TIME)
    assert (other.stored, other.duplicate, other.reasons) == (0, 0, {"conflict": 1})
    assert index.verify(shop.path, shop.manifest.index, shop.keys().naming) == ()
    more = shop.ingest([view(2, event_id="later")], received_at=TIME)
    assert more.stored == 1
    assert ("later", 0) in groups(shop, "customer_id")[shop.person("cyd")]


def test_a_second_rotation_changes_everybody_again_and_an_import_can_still_be_undone(both, copy_of):
    before, after, _ = both
    shop = copy_of(after)
    privacy.rotate(shop)

    assert pseudonyms(shop) & (pseudonyms(after) | pseudonyms(before)) == set()
    assert shop.keys().rotation == 2
    assert sent(shop) == [(0, len(WITH_IDS), 0), (0, len(NO_IDS), 0), (0, len(RECEIPTS), 0)]
    first = shop.manifest.imports[0].id
    ledger.undo(shop, first)
    assert shop.ingest(WITH_IDS, received_at=TIME).stored == len(WITH_IDS)


def test_a_dry_run_says_what_a_rotation_does_and_writes_nothing(both):
    before, _, answer = both
    files = {path: path.stat().st_mtime_ns for path in before.path.rglob("*")}

    assert privacy.rotate(before, dry_run=True).table == answer.table
    assert {path: path.stat().st_mtime_ns for path in before.path.rglob("*")} == files


def test_a_pseudonym_in_any_personal_column_of_any_table_is_renamed(tmp_path):
    shop, old = Shop.open(tmp_path / "shop"), "c_" + "a" * 24
    schemas = {"events": STORED, "quarantine": QUARANTINE,
               **{name: declared(name) for name in PERSONAL.keys() - {"events", "quarantine"}}}
    assert set(schemas) == {"events", "quarantine", *TABLES, *PUBLISHED}
    with shop.store.write("test") as writer:
        files = {}
        for name, schema in schemas.items():
            row = {"ts": 0, "line": 0, "event_id": "e"} | dict.fromkeys(PERSONAL[name], old)
            assert {str(schema.field(column).type) for column in PERSONAL[name]} <= {"string"}, name
            folder = {"events": "segments", "quarantine": "quarantine"}.get(name, "tables")
            files[name] = f"{folder}/{name.replace('/', '-')}.parquet"
            (shop.path / folder).mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist([row], schema=schema), shop.path / files[name])
        tables = {name: file for name, file in files.items() if name not in ("events", "quarantine")}
        writer.commit(replace(writer.manifest, tables=tables, quarantine=(files["quarantine"],),
                              segments=(Segment(files["events"], 1, 1, 0, 0, "x"),)))
    rotation.rotate(shop.store, shop.keys())
    shop.refresh()

    named = {"events": shop.manifest.segments[0].file, "quarantine": shop.manifest.quarantine[0],
             **shop.manifest.tables}
    found = {(name, column): pq.read_table(shop.path / file)[column][0].as_py()
             for name, file in named.items() for column in PERSONAL[name]}
    assert len(found) == sum(map(len, PERSONAL.values()))
    assert len(set(found.values())) == 1
    assert old not in found.values()


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.struct([("who", pa.string())]), pa.binary()])
def test_a_column_that_it_cannot_look_into_is_refused_and_not_passed_over(kind):
    with pytest.raises(TypeError, match="cannot be renamed"):
        Renaming().column(pa.nulls(1, kind))


def test_no_pseudonym_is_found_across_two_cells_and_what_is_unknown_stays():
    old, new = "a_" + "x" * 24, "a_" + "y" * 24
    renaming = Renaming()
    renaming.learn(pa.array([old]), pa.array([new]))
    cells = pa.array([old[:10], old[10:], None, f"c{old}{old}", "c_" + "x" * 24, ""])

    assert renaming.column(cells).to_pylist() == [old[:10], old[10:], None, f"c{new}{new}", "c_" + "x" * 24, ""]
    assert renaming.column(cells[1:]).to_pylist() == renaming.column(cells).to_pylist()[1:]
    assert renaming.bytes(b"\0" + old.encode() + b"\0") == b"\0" + new.encode() + b"\0"


def refused(kind, function, *given, **named):
    with pytest.raises(kind) as caught:
        function(*given, **named)
    return caught.value.text()


def test_while_the_shop_is_served_a_rotation_is_refused(both, copy_of):
    shop = copy_of(both[0])
    collector = Collector.open(shop)
    try:
        assert refused(ShopBusy, privacy.rotate, shop) == (
            "the shop is served; its pseudonyms cannot be rotated meanwhile.\n"
            "  Try:  stop the server, rotate, and start it again.\n"
            "  Why:  a server has the key, and knows people by their pseudonyms.")
    finally:
        collector.close()
    assert privacy.rotate(shop).table.num_rows == 3


def test_while_an_experiment_runs_a_rotation_is_refused(both, copy_of):
    shop = copy_of(both[0])
    row = dict.fromkeys(declared(EXPERIMENTS).names) | {
        "experiment": "x", "question": "recommend.next_items", "a": "installed", "b": "plain", "share": 0.5,
        "salt": "s", "start": time.time_ns() // 1000 - 10}
    with shop.store.write("test") as writer:
        table = pa.Table.from_pylist([row], schema=declared(EXPERIMENTS))
        writer.commit(writer.replace_table(writer.manifest, EXPERIMENTS, table))
    shop.refresh()

    assert refused(BadInput, privacy.rotate, shop) == (
        "experiment x runs.\n"
        f"  Try:  shopkeeper recommend stop-experiment {shop.path}\n"
        "  Why:  who gets which arm follows from the pseudonym: people would change sides.")


def test_who_opened_the_shop_before_a_rotation_writes_nothing_under_the_old_key(both, copy_of):
    shop = copy_of(both[0])
    late = Shop.open(shop.path)
    keys = late.keys()
    privacy.rotate(shop)
    text = ("the pseudonyms were rotated since this shop was opened.\n"
            "  Try:  open it again.\n"
            "  Why:  what was known of its people has other names now.")

    assert refused(ShopBusy, late.ingest, [view(1, event_id="late")]) == text
    assert refused(ShopBusy, late.keys) == text
    late.keys = lambda: keys
    assert refused(ShopBusy, late.ingest, [view(1, event_id="late")]) == text
    late.refresh()
    del late.keys
    assert late.ingest([view(1, event_id="late")], received_at=TIME).stored == 1


def test_a_backup_of_before_needs_the_keys_of_before(both, copy_of, tmp_path):
    shop = copy_of(both[0])
    back_up(shop.store, tmp_path / "backup")
    back_up(shop.store, tmp_path / "whole.tar", with_keys=True)
    shutil.copytree(shop.path / "keys", tmp_path / "keys")
    privacy.rotate(shop)

    with pytest.raises(NotAShop):
        restore(tmp_path / "backup", tmp_path / "again", keys=shop.path / "keys")
    for name, keys in (("backup", tmp_path / "keys"), ("whole.tar", None)):
        restore(tmp_path / name, tmp_path / f"from {name}", keys=keys)
        again = Shop.open(tmp_path / f"from {name}")
        assert again.person("ann") in groups(again, "customer_id")
        assert again.keys() == both[0].keys()
