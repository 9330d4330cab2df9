"""A backup is one moment of the shop, whole or refused; a shop put back from it is the shop of that moment."""

import json
import shutil
import tarfile
import time

import pytest

from killing import killed_at
from shopkeeper.errors import BadInput, Damaged, NotAShop
from shopkeeper.shop import Shop
from shopkeeper.warehouse import audit
from shopkeeper.warehouse.backup import MARKER, back_up, restore
from shopkeeper.warehouse.ingest import FORMER
from shopkeeper.warehouse.store import GRACE, Store
from warehouse.batches import ingest
from warehouse.made import named_files
from warm import warm

FORMS = ["backup", "backup.tar"]
ITEMS = [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(5)]


class Meanwhile:
    """Progress that does something at the first stages that it is told of."""

    def __init__(self, *things):
        self._things = list(things)

    def start(self, what, total=None):
        if self._things:
            self._things.pop(0)()

    def advance(self, steps=1):
        pass


@pytest.fixture
def shop(tmp_path):
    """A shop with events, rejects, a vault and a table."""
    ingest(tmp_path / "shop", 0)
    ingest(tmp_path / "shop", 1)
    opened = Shop.open(tmp_path / "shop")
    opened.ingest(ITEMS, table="items")
    return opened


MANY = FORMER + 1  # imports of a table after which its file of before is kept no longer


def new_items(shop):
    """Replace the table of items again and again, and let so much time pass that the file before is gone."""
    for number in range(MANY):
        Shop.open(shop.path).ingest([{"item_id": "i", "title": f"other {number}"}], table="items")
    with Store(shop.path, now=lambda: time.time() + 2 * GRACE).write("test"):
        pass


def rows(shop):
    return sorted(shop.engine.run(shop.events())["event_id"].to_pylist())


def files(path):
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_a_shop_put_back_is_the_shop_of_the_moment(shop, tmp_path, form):
    back_up(shop.store, tmp_path / form, with_keys=True)
    ingest(shop.path, 2)

    restore(tmp_path / form, tmp_path / "again")

    again = Shop.open(tmp_path / "again", create=False)
    assert again.manifest == shop.manifest
    assert rows(again) == rows(shop)
    assert again.keys() == shop.keys()
    assert again.store.damaged(again.manifest) == ()
    assert ingest(tmp_path / "again", 2).stored == 40


def test_a_shop_that_has_taken_nothing_in_can_be_backed_up(tmp_path):
    Shop.open(tmp_path / "shop")

    back_up(Store(tmp_path / "shop"), tmp_path / "backup", with_keys=True)
    restore(tmp_path / "backup", tmp_path / "again")

    assert ingest(tmp_path / "again", 0).stored == 40


@pytest.mark.parametrize("form", FORMS)
def test_files_that_a_commit_takes_away_meanwhile_are_taken_from_the_newer_version(shop, tmp_path, form):
    before = shop.manifest.version

    made = back_up(shop.store, tmp_path / form, with_keys=True, progress=Meanwhile(lambda: new_items(shop)))

    restore(tmp_path / form, tmp_path / "again")
    again = Shop.open(tmp_path / "again", create=False)
    assert made.version == again.manifest.version == before + MANY
    assert set(made.files) >= named_files(again.manifest)
    assert again.store.damaged(again.manifest) == ()


def test_what_a_newer_version_does_not_name_is_not_left_in_the_backup(shop, tmp_path):
    stock = [{"item_id": "i1", "on_hand": 3}]
    shop.ingest(stock, table="stock")
    shop.ingest([{"item_id": f"i{n}", "title": f"{n * n}" * 9} for n in range(5000)], table="items")
    small = shop.manifest.tables["stock"]
    meanwhile = Meanwhile()

    def replaced(steps=1):
        if (tmp_path / "backup" / small).exists() and Shop.open(shop.path).manifest == shop.manifest:
            for number in range(MANY):
                Shop.open(shop.path).ingest([{"item_id": "i1", "on_hand": 4 + number}], table="stock")
            new_items(shop)

    meanwhile.advance = replaced
    made = back_up(shop.store, tmp_path / "backup", progress=meanwhile)

    assert small not in made.files
    assert set(files(tmp_path / "backup")) == {*made.files, MARKER}


def test_a_file_that_is_missing_is_damage_and_named(shop, tmp_path):
    file = shop.manifest.segments[0].file
    (shop.path / file).unlink()

    with pytest.raises(Damaged, match=file):
        back_up(shop.store, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_file_of_another_size_is_damage_and_named(shop, tmp_path):
    file = shop.manifest.segments[0].file
    (shop.path / file).write_bytes(b"short")

    with pytest.raises(Damaged, match=file):
        back_up(shop.store, tmp_path / "backup.tar")
    assert list(tmp_path.iterdir()) == [shop.path]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_has_become_another_on_the_disk_is_not_backed_up_as_if_it_were_whole(shop, tmp_path, form):
    file = shop.manifest.segments[0].file
    data = bytearray((shop.path / file).read_bytes())
    data[len(data) // 2] ^= 1
    (shop.path / file).write_bytes(data)

    with pytest.raises(Damaged, match=file):
        back_up(shop.store, tmp_path / form)
    assert list(tmp_path.iterdir()) == [shop.path]


def test_an_index_that_is_missing_keeps_no_shop_from_being_backed_up(shop, tmp_path):
    for file in shop.manifest.index_files():
        (shop.path / file).unlink()

    back_up(shop.store, tmp_path / "backup", with_keys=True)
    restore(tmp_path / "backup", tmp_path / "again")

    assert rows(Shop.open(tmp_path / "again")) == rows(shop)
    assert ingest(tmp_path / "again", 1).stored == 0


def test_files_are_linked_where_the_disk_is_the_same_and_a_restored_shop_shares_none(shop, tmp_path):
    made = back_up(shop.store, tmp_path / "backup", with_keys=True)
    restore(tmp_path / "backup", tmp_path / "again")

    inode = {name: (tmp_path / "backup" / name).stat().st_ino for name in made.files}
    shared = {name for name, number in inode.items() if (shop.path / name).stat().st_ino == number}
    assert shared == set(shop.manifest.sizes)
    assert made.linked == len(shared)
    assert all((tmp_path / "again" / name).stat().st_ino != number for name, number in inode.items())


def test_settings_and_models_come_along_and_locks_do_not(small_learned, tmp_path):
    path = tmp_path / "shop"
    shutil.copytree(small_learned.path, path)
    (path / "rules").mkdir()
    (path / "rules" / "alerts.json").write_text("{}")

    back_up(Store(path), tmp_path / "backup", with_keys=True)
    restore(tmp_path / "backup", tmp_path / "again")

    assert set(files(path)) - set(files(tmp_path / "again")) <= {"writer.lock"}
    assert Shop.open(tmp_path / "again").installed("recommend.next_items").record["method"]


@pytest.mark.parametrize("form", FORMS)
def test_the_audit_log_comes_along_for_its_owner_alone_and_lists_with_names_stay_behind(shop, tmp_path, form):
    audit.note(shop.path, "customers.export_audience", {"customers": 1})
    (shop.path / audit.EXPORTS).mkdir()
    (shop.path / audit.EXPORTS / "list.csv").write_text("customer,identity\nc_1,ann@example.org\n")

    made = back_up(shop.store, tmp_path / form, with_keys=True)
    restore(tmp_path / form, tmp_path / "again")

    assert not [name for name in made.files if name.startswith(audit.EXPORTS)]
    assert audit.read(tmp_path / "again") == audit.read(shop.path) != []
    assert (tmp_path / "again" / audit.FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("form", FORMS)
def test_without_keys_a_backup_needs_the_shops_own_and_takes_no_others(shop, tmp_path, form):
    back_up(shop.store, tmp_path / form)
    Shop.open(tmp_path / "stranger")

    with pytest.raises(NotAShop, match="no keys"):
        restore(tmp_path / form, tmp_path / "again")
    with pytest.raises(NotAShop, match="not hold the keys"):
        restore(tmp_path / form, tmp_path / "again", keys=tmp_path / "stranger" / "keys")
    assert not (tmp_path / "again").exists()
    restore(tmp_path / form, tmp_path / "again", keys=shop.path / "keys")
    assert Shop.open(tmp_path / "again").keys() == shop.keys()


def test_keys_in_a_shop_put_back_are_for_their_owner_alone(shop, tmp_path):
    back_up(shop.store, tmp_path / "backup.tar", with_keys=True)
    restore(tmp_path / "backup.tar", tmp_path / "again")

    assert (tmp_path / "backup.tar").stat().st_mode & 0o077 == 0
    assert (tmp_path / "again" / "keys").stat().st_mode & 0o077 == 0
    assert (tmp_path / "again" / "keys" / "vault.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_target_in_use_is_refused_and_left_as_it_was(shop, tmp_path, form):
    back_up(shop.store, tmp_path / form, with_keys=True)
    kept = (tmp_path / form).read_bytes() if form.endswith(".tar") else files(tmp_path / form)

    with pytest.raises(BadInput, match="there already"):
        back_up(shop.store, tmp_path / form)
    with pytest.raises(BadInput, match="there already"):
        restore(tmp_path / form, shop.path)
    assert kept == ((tmp_path / form).read_bytes() if form.endswith(".tar") else files(tmp_path / form))


def test_a_backup_does_not_go_into_the_shop(shop):
    with pytest.raises(BadInput, match="within the shop"):
        back_up(shop.store, shop.path / "backup")


def spoil(path, name, how):
    place = path / name
    data = bytearray(place.read_bytes())
    place.unlink()  # it may be a link to the shop's own
    if how == "flipped":
        data[len(data) // 2] ^= 4
    if how != "missing":
        place.write_bytes(data if how == "flipped" else data[:-1] if how == "cut" else data + b"x")


@pytest.mark.parametrize("how", ["flipped", "cut", "longer", "missing"])
def test_every_file_that_is_not_what_was_written_is_named_and_nothing_is_restored(shop, tmp_path, how):
    made = back_up(shop.store, tmp_path / "whole", with_keys=True)
    for name in made.files:
        shutil.copytree(tmp_path / "whole", tmp_path / "spoilt")
        spoil(tmp_path / "spoilt", name, how)

        with pytest.raises(Damaged) as refused:
            restore(tmp_path / "spoilt", tmp_path / "again")

        assert name in str(refused.value)
        assert not (tmp_path / "again").exists()
        shutil.rmtree(tmp_path / "spoilt")


def test_a_bit_that_flips_anywhere_in_a_tar_changes_no_file_of_the_shop(shop, tmp_path):
    made = back_up(shop.store, tmp_path / "whole.tar", with_keys=True)
    restore(tmp_path / "whole.tar", tmp_path / "again")
    right, data = files(tmp_path / "again"), (tmp_path / "whole.tar").read_bytes()
    refused = 0
    for place in range(0, len(data), max(1, len(data) // 60)):
        broken = bytearray(data)
        broken[place] ^= 1
        (tmp_path / "broken.tar").write_bytes(broken)
        try:
            restore(tmp_path / "broken.tar", tmp_path / "other")
        except Damaged:
            refused += 1
        else:  # it hit what is no content: a time, padding
            assert files(tmp_path / "other") == right
        shutil.rmtree(tmp_path / "other", ignore_errors=True)

    assert refused > 30
    assert len(made.files) > 5


def test_a_marker_that_was_changed_is_refused(shop, tmp_path):
    back_up(shop.store, tmp_path / "backup", with_keys=True)
    marker = tmp_path / "backup" / MARKER
    marker.write_text(marker.read_text().replace('"version": 3', '"version": 2'))

    with pytest.raises(Damaged, match="not what was written"):
        restore(tmp_path / "backup", tmp_path / "again")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside", "./a", ""])
def test_a_backup_cannot_write_outside_the_shop(shop, tmp_path, name):
    from shopkeeper.warehouse.archives import Part
    from shopkeeper.warehouse.backup import Backup

    made = Backup("2026-01-01", 1, {name: Part(1, "0" * 64)}, True, "")

    with pytest.raises(Damaged):
        Backup.from_json(made.to_json(), "backup.json")


def test_a_link_in_a_tar_is_not_followed(shop, tmp_path):
    back_up(shop.store, tmp_path / "backup.tar", with_keys=True)
    with tarfile.open(tmp_path / "backup.tar") as whole, tarfile.open(tmp_path / "linked.tar", "w") as linked:
        for member in whole.getmembers():
            if member.name == "shop.toml":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/hostname", 0
                linked.addfile(member)
            else:
                linked.addfile(member, whole.extractfile(member))

    with pytest.raises(Damaged, match=r"shop\.toml"):
        restore(tmp_path / "linked.tar", tmp_path / "again")


DOING = "from shopkeeper.warehouse.backup import back_up, restore\nfrom shopkeeper.warehouse.store import Store"


@pytest.mark.slow
@pytest.mark.parametrize("form, stride", [("backup", 5), ("backup.tar", 2)])
def test_a_backup_that_is_killed_at_any_step_is_whole_or_refused_and_leaves_the_shop(shop, tmp_path, form, stride):
    before, step, refused = files(shop.path), 0, 0
    target = tmp_path / form
    do = f"back_up(Store({str(shop.path)!r}), Path({str(target)!r}), with_keys=True)"
    while killed_at(step, do, before=DOING):
        assert files(shop.path) == before
        try:
            restore(target, tmp_path / "again")
        except (Damaged, BadInput):
            refused += 1
            assert not (tmp_path / "again").exists()
        else:
            assert Shop.open(tmp_path / "again", create=False).manifest == shop.manifest
        for path in tmp_path.iterdir():
            if path != shop.path:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        step += stride

    assert refused >= 3


@pytest.mark.slow
def test_a_restoring_that_is_killed_at_any_step_is_a_whole_shop_or_none(shop, tmp_path):
    back_up(shop.store, tmp_path / "backup", with_keys=True)
    kept, step, none = files(tmp_path / "backup"), 0, 0
    target = tmp_path / "again"
    while killed_at(step, f"restore(Path({str(tmp_path / 'backup')!r}), Path({str(target)!r}))", before=DOING):
        assert files(tmp_path / "backup") == kept
        if (target / "shop.toml").exists():
            assert Shop.open(target, create=False).manifest == shop.manifest
        elif target.exists() and any(target.iterdir()):
            none += 1
            with pytest.raises(NotAShop):
                Shop.open(target)
            with pytest.raises(BadInput):
                restore(tmp_path / "backup", target)
        shutil.rmtree(target, ignore_errors=True)
        step += 6

    assert none >= 3


def test_an_error_in_the_middle_leaves_nothing_behind(shop, tmp_path):
    def stop():
        raise KeyboardInterrupt

    for form in FORMS:
        with pytest.raises(KeyboardInterrupt):
            back_up(shop.store, tmp_path / form, progress=Meanwhile(stop))
    back_up(shop.store, tmp_path / "backup", with_keys=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "backup", tmp_path / "empty", progress=Meanwhile(lambda: None, stop))

    assert {path.name for path in tmp_path.iterdir()} == {"shop", "backup", "empty"}
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_commands_say_what_they_did_and_warn_of_the_keys(shop, tmp_path):
    def run(*words):
        done = warm().run(None, *words, "--json", env={"LC_ALL": "C.UTF-8"})
        return done.returncode, json.loads(done.stdout)

    code, made = run("backup", str(shop.path), str(tmp_path / "backup"))
    assert code == 0
    assert made["version"] == shop.manifest.version
    assert made["with_keys"] is False
    assert any("KEYS ARE NOT IN IT" in note for note in made["notes"])

    code, refusal = run("restore", str(tmp_path / "backup"), str(tmp_path / "again"))
    assert (code, refusal["refusal"], refusal["try"]) == (2, "NotAShop", ["--keys FOLDER"])

    code, account = run("restore", str(tmp_path / "backup"), str(tmp_path / "again"), "--keys", str(shop.path / "keys"))
    assert code == 0
    assert sum(row["received"] for row in account["answer"]) == sum(one.received for one in shop.manifest.imports)
