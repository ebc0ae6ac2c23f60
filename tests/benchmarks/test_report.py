"""`python -m benchmarks report`: the page and the pictures, from the files of a small sweep."""

import copy
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pytest

from benchmarks.__main__ import main
from benchmarks.analysis import ALL_PHASES
from benchmarks.commands import measure
from benchmarks.report.headline import flags, headline
from benchmarks.report.page import page as write_page
from benchmarks.report.palette import mark
from benchmarks.report.shares import SHARES, shares
from benchmarks.report.structure import check_structure
from benchmarks.report.tables import agreement_table, exponents_table
from tests.benchmarks import contestants as fakes

SWEEP = ["measure", "--allow-dirty", "--data", "synthetic", "--dimension", "5", "--samples", "4", "--iterations", "2"]
USUAL = ["--depth", "2", "--rounds", "2", "--widths", "8,12,16,24,32"]
BLAS = ["--impl", "blas=benchmarks.rivals.dense:blas_factory"]
FAKES = "tests.benchmarks.contestants"
EVIL = "<script>alert(1)</script>&\"'$x^$"
FILES = ("report.html", "scaling.png", "speedups.png", "phases.png", "memory.png")
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks nesting as it goes and keeps every element, with the text and the numbers inside tables."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text, self.numbers, self.labels = [], [], [], {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "data":
            table = next((a["id"] for t, a in reversed(self.open) if t == "table"), None)
            self.numbers.setdefault(table, []).append(float(attributes["value"]))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag
        self.open.pop()

    def handle_data(self, data):
        inside = [tag for tag, _ in self.open]
        if "style" not in inside:
            self.text.append(data)
        if inside and inside[-1] == "data":
            self.labels.append((float(self.open[-1][1]["value"]), data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def visible(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module", autouse=True)
def quick_sweeps():
    """Who else is busy takes time to find out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "warn_if_busy", lambda: None)
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with the sweep of a second dense rival and of an implementation with a name made to harm."""
    folder = tmp_path_factory.mktemp("swept")
    main([*SWEEP, *USUAL, *BLAS, "--impl", f"{EVIL}={FAKES}:counting", "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def document(swept):
    return json.loads((swept / "scaling.json").read_text())


@pytest.fixture(scope="module")
def page(swept):
    return Page((swept / "report.html").read_text())


def paged(document):
    """The page of a document, which keeps its structure."""
    check_structure(document)
    return Page(write_page(document, b"", b""))


def reported(document, swept, folder):
    """The page that the command makes of a document."""
    (folder / "scaling.csv").write_bytes((swept / "scaling.csv").read_bytes())
    (folder / "scaling.json").write_text(json.dumps(document))
    assert main(["report", str(folder)]) == 0
    return Page((folder / "report.html").read_text())


def test_a_sweep_ends_with_the_report_that_the_command_writes(swept, tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    for name in ("scaling.json", "scaling.csv"):
        (tmp_path / "results" / name).write_bytes((swept / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--out", "new"]) == 0  # of the folder "results"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)
    printed = capsys.readouterr().out
    for name in FILES:
        assert (tmp_path / "new" / name).read_bytes() == (swept / name).read_bytes()
        assert f"new/{name}" in printed
    assert all((swept / name).read_bytes().startswith(b"\x89PNG") for name in FILES[1:])


def test_nothing_is_loaded_and_every_reference_is_met(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "img", "image", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("src", "srcset", "xlink:href")
            if name == "href":
                assert value.startswith("data:" if "download" in attributes else "#")
            if name in ("aria-labelledby", "aria-describedby"):
                assert set(value.split()) <= set(ids)
            assert set(re.findall(r"url\(#([^)]*)\)", value or "")) <= set(ids)
            assert name == "href" or "//" not in (value or "")
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    style = next(attributes for attributes in page.all("meta") if "http-equiv" in attributes)
    assert style["content"].startswith("default-src 'none'")


def test_the_sections_come_in_order(page):
    titles = re.findall(
        "Cost against m|Exponents by phase|Speed-ups by width|Where the time goes|Memory|Agreement|Conditions|Raw data",
        page.visible,
    )
    assert titles == [
        *("Cost against m", "Exponents by phase", "Speed-ups by width", "Where the time goes"),
        *("Memory", "Agreement", "Conditions", "Raw data"),
    ]


def test_every_figure_is_there_named_and_coloured_by_the_page(page, document, swept):
    figures = page.all("svg")
    assert len(figures) == len(page.all("figure")) == 4 + len(document["implementations"])
    assert all(svg["role"] == "img" and svg["aria-labelledby"] and "width" not in svg for svg in figures)
    drawn = "".join(re.findall(r"<svg.*?</svg>", (swept / "report.html").read_text(), re.DOTALL))
    assert not re.findall(r"[:\"] ?#[0-9a-f]{3,6}[\";]", drawn)
    variables = set(re.findall(r"var\(--([a-z0-9-]+)\)", drawn))
    assert {"ink", "muted", "grid", "series-1", "series-2", "series-3", "part-1", "part-6"} <= variables
    style = re.search(r"<style>(.*?)</style>", (swept / "report.html").read_text(), re.DOTALL)[1]
    assert all(style.count(f"--{name}:") == 2 for name in variables)
    assert "prefers-color-scheme: dark" in style


def test_series_differ_without_colour():
    for place in ("marker", "line"):
        assert len({getattr(mark(number), place) for number in range(5)}) == 5
    assert len({mark(number) for number in range(35)}) == 35


def test_tables_have_scopes_and_scroll_on_their_own(page):
    assert all(header.get("scope") in ("row", "col", "rowgroup") for header in page.all("th"))
    boxes = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert len(boxes) == len(page.all("table")) == 8
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_the_data_are_the_files_byte_for_byte(page, swept):
    links = {link["download"]: link["href"] for link in page.all("a") if "download" in link}
    assert set(links) == {"scaling.csv", "scaling.json"}
    for name, href in links.items():
        kind, content = href.split(",", 1)
        assert kind.startswith("data:") and "base64" not in kind
        assert unquote_to_bytes(content) == (swept / name).read_bytes()


def known(*values):
    return [value for value in values if value is not None]


def estimates(*found):
    return [value for one in found for value in known(*(one.get(key) for key in ("value", "low", "high")))]


def test_the_numbers_are_those_of_the_json(page, document):
    exponents = []
    for phase in ALL_PHASES:
        for index, entry in enumerate(document["implementations"].values()):
            work, time = (entry["exponents"][phase][kind] for kind in ("work", "time"))
            exponents += known(work["value"], work["bytes"]) + estimates(time, time["floored"])
            exponents += known(document["theory"].get(phase, {}).get("work")) if index == 0 else []
            exponents += known(time["held_out"]["floored_error"])
    assert page.numbers["exponents"] == exponents

    rivals = [name for name in document["implementations"] if name != "dense"]
    for index, m in enumerate(document["problem"]["widths"]):
        points = [entry["points"][index] for entry in document["implementations"].values()]
        line = [point["phases"]["iteration"]["median"] for point in points]
        for name in rivals:
            line += estimates(document["speedups"][name][str(m)], document["speedups_between_spikes"][name][str(m)])
        assert ",".join(map(repr, line)) in ",".join(map(repr, page.numbers["speedups-table"]))
        extra = [value for p in points for value in (p["extra_memory_bytes"], p["extra_memory_bytes"] / 4 / m**2)]
        assert page.numbers["memory-table"][index * (1 + len(extra)) :][: 1 + len(extra)] == [4 * m**2, *extra]

    stacks = [shares(point) for entry in document["implementations"].values() for point in entry["points"]]
    assert page.numbers["shares-table"] == [stack[part] for stack in stacks for part in SHARES]
    assert sum(stacks[0].values()) == pytest.approx(1.0)


def test_numbers_are_shown_as_what_they_are(page):
    assert len(page.labels) > 100
    for value, label in page.labels:
        digits = label.replace("−", "-").replace(" %", "").replace("+", "")
        assert any(
            float(digits) == pytest.approx(scale * value, rel=6e-3, abs=0.6 * 10.0 ** -len(digits.partition(".")[2]))
            for scale in (1.0, 1e2, 1e3, 1e-6)
        )


def test_the_headline_tells_the_exponents_the_crossover_and_the_speedup(document):
    told = copy.deepcopy(document)
    widest = told["problem"]["widths"][-1]
    told["implementations"]["blas"]["exponents"]["iteration"]["work"]["value"] = 1.234
    told["implementations"]["blas"]["exponents"]["iteration"]["time"] |= {"value": 1.5, "low": 1.25, "high": 1.75}
    told["crossover"]["blas"] = {"m": 14.2, "where": "in range", "low": 0.0, "high": None}
    told["speedups"]["blas"][str(widest)] = {"value": 3.21, "low": 3.0, "high": 3.5}
    told["environment"]["others_meanwhile"] = 0.5
    head = Page(headline(told)).visible
    assert "m1.23 with blas" in head and "m1.50 [1.25, 1.75] with blas" in head
    assert "From m = 14 [below 8, above 32] on, blas is faster than dense" in head
    assert f"At m = {widest} an iteration of dense takes 3.21 [3.00, 3.50] times as long as one of blas" in head
    assert any("50 % of the processors" in flag for flag in flags(told))
    told["crossover"]["blas"] = {"m": None, "where": "none in range", "low": 20.0, "high": None}
    assert "no crossover in range [20, above 32]" in Page(headline(told)).visible
    told["crossover"]["blas"] = {"m": None, "where": "below the widths measured", "low": 0.0, "high": 20.0}
    assert "the crossover is below m = 8 [below 8, 20]" in Page(headline(told)).visible


def flagged_parts(document):
    return Page("".join([exponents_table(document), agreement_table(document), *flags(document)]))


def test_a_change_of_regime_and_a_disagreement_are_flagged(document):
    plain = copy.deepcopy(document)
    for entry in plain["implementations"].values():
        for phase in ALL_PHASES:
            entry["exponents"][phase]["time"]["regime"] = None
        for point in entry["points"]:
            point["agreement"] = {"agrees": True, "deviation": 0.25, "step": 1}
    page = flagged_parts(plain)
    assert not [a for _, a in page.elements if a.get("class") == "flag"]
    flagged = copy.deepcopy(plain)
    regime = {"kind": "step", "low": 8.0, "high": 12.0, "size": 2.0, "text": "the cost steps <here>"}
    flagged["implementations"]["blas"]["exponents"]["gram"]["time"]["regime"] = regime
    flagged["implementations"]["blas"]["points"][1]["agreement"] = {"agrees": False, "deviation": None, "step": 2}
    page = flagged_parts(flagged)
    assert len([a for _, a in page.elements if a.get("class") == "flag"]) == 2
    assert "⚑ the cost steps <here>" in page.visible
    assert "⚑ disagrees: not a number, in the outputs" in page.visible
    assert "blas disagrees with dense at m = 12" in page.visible


def test_names_are_escaped(page, document):
    assert EVIL in document["implementations"]
    assert page.visible.count(EVIL) > 8  # as text, figures included


def test_text_from_anywhere_is_escaped(document, swept, tmp_path):
    bad = copy.deepcopy(document)
    bad["problem"]["data"] = bad["problem"]["dtype"] = bad["environment"]["cpu"] = "<i>$\\frac$\x00\n"
    bad["environment"]["<u>"] = {"<s>": ["<b>"]}
    name = '_<img src="//x" onerror="y">\u202e漢' + "long" * 30
    for key in ("implementations", "speedups", "speedups_between_spikes", "crossover"):
        bad[key][name] = bad[key].pop("blas")
    bad["implementations"][name]["factory"] = "</table><a href='//x'>"
    page = reported(bad, swept, tmp_path)
    assert not {"i", "u", "s", "img", "script"} & {tag for tag, _ in page.elements}
    assert "\x00" not in page.visible and "\u202e" not in page.visible


def without_intervals(value):
    if isinstance(value, dict):
        return {key: None if key in ("low", "high") else without_intervals(item) for key, item in value.items()}
    return value


def test_a_single_round_has_no_intervals(document):
    single = without_intervals(document)
    single["problem"]["rounds"] = 1
    for entry in single["implementations"].values():
        for point in entry["points"]:
            for phase in point["phases"].values():
                phase["seconds"] = phase["seconds"][:1]
    page = paged(single)
    assert "With a single round there are no intervals" in page.visible
    assert "interval" not in [attributes.get("class") for attributes in page.all("span")]


def nulled(document):
    """A null wherever analysis.py can leave one."""
    empty = copy.deepcopy(document)

    def clear(value):
        if isinstance(value, dict):
            return {key: clear(item) for key, item in value.items()}
        return None

    for entry in empty["implementations"].values():
        for exponent in entry["exponents"].values():
            floored = clear(exponent["time"]["floored"])
            exponent["time"] = {**dict.fromkeys(exponent["time"]), "floored": floored}
            exponent["work"] = clear(exponent["work"])
        entry["memory_exponent"] = clear(entry["memory_exponent"])
        for point in entry["points"]:
            point["extra_memory_bytes"] = None
            point["agreement"]["deviation"] = None
            for phase, found in point["phases"].items():
                found.update({**clear(found), "seconds": found["seconds"] if phase == "iteration" else []})
    for key in ("speedup", "speedups", "speedups_between_spikes", "environment"):
        empty[key] = clear(empty[key])
    for crossover in empty["crossover"].values():
        crossover.update(m=None, low=None, high=None, where="none in range")
    return empty


def test_a_document_of_nulls_is_shown_with_dashes(document, swept, tmp_path):
    page = reported(nulled(document), swept, tmp_path)
    assert len(page.all("svg")) == 4 + len(document["implementations"])
    assert not re.search(r"\bNone\b|\bnan\b|\bnull\b", page.visible)
    theory = [document["theory"][phase]["work"] for phase in ALL_PHASES if phase in document["theory"]]
    assert page.numbers.pop("exponents") == theory
    assert {*page.numbers} == {"problem", "memory-table"}  # the widths, and the weight matrix
    assert page.visible.count("–") > 100
    assert "times of phases are not reported" in page.visible and "memory was not measured" in page.visible


def test_the_dense_rival_alone_is_shown(document):
    alone = copy.deepcopy(document)
    alone["implementations"] = {"dense": alone["implementations"]["dense"]}
    alone.update(speedup={}, speedups={}, speedups_between_spikes={}, crossover={})
    page = paged(alone)
    assert "There is nothing to compare." in page.visible
    assert "nothing to compare with the dense rival" in page.visible


@pytest.mark.parametrize(
    ("options", "stop_at"),
    [
        (["--depth", "1", "--rounds", "2", "--widths", "8,12,16", "--impl", f"{FAKES}:silent"], None),
        ([*USUAL, "--impl", f"{FAKES}:counting"], 2 + 5 * 2 + 1),
    ],
    ids=["no square layer and nothing counted", "interrupted"],
)
def test_sweeps_that_leave_nulls_end_with_a_report(options, stop_at, tmp_path):
    fakes.STEPS.update(count=0, stop_at=stop_at)
    try:
        main([*SWEEP, *options, "--out", str(tmp_path)])
    finally:
        fakes.STEPS.update(count=0, stop_at=None)
    document = json.loads((tmp_path / "scaling.json").read_text())
    assert document["problem"]["interrupted"] == (stop_at is not None)
    page = Page((tmp_path / "report.html").read_text())
    assert "–" in page.visible
    assert ("interrupted; complete rounds: 1." in page.visible) == (stop_at is not None)


def spoiled(change):
    def spoil(folder, document):
        bad = copy.deepcopy(document)
        change(bad)
        (folder / "scaling.json").write_text(json.dumps(bad))

    return spoil


def written(name, content):
    return lambda folder, _: (folder / name).write_bytes(content)


DAMAGE = {
    "no json": (lambda folder, _: (folder / "scaling.json").unlink(), "scaling.json"),
    "no csv": (lambda folder, _: (folder / "scaling.csv").unlink(), "scaling.csv"),
    "cut off": (written("scaling.json", b'{"schema": 2, "prob'), "a JSON document"),
    "not text": (written("scaling.json", b"\xff\xfe\x00"), "a JSON document"),
    "nested": (written("scaling.json", b"[" * 200_000), "a JSON document"),
    "not a number": (written("scaling.json", b'{"schema": NaN}'), "a JSON document"),
    "a list": (written("scaling.json", b"[]"), "schema 2"),
    "other columns": (written("scaling.csv", b"a,b\n1,2\n"), "the columns implementation,m"),
    "schema 1": (spoiled(lambda d: d.update(schema=1)), "schema 1"),
    "no problem": (spoiled(lambda d: d.pop("problem")), "'problem'"),
    "no phase": (
        spoiled(lambda d: d["implementations"]["blas"]["points"][0]["phases"].pop("gram")),
        "implementations.blas.points[0].phases",
    ),
    "text for a number": (
        spoiled(lambda d: d["implementations"]["blas"]["exponents"]["gram"]["time"].update(value="1")),
        "implementations.blas.exponents.gram.time.value",
    ),
    "infinity": (
        spoiled(lambda d: d["crossover"]["blas"].update(m=10**400)),
        "crossover.blas.m",
    ),
    "time of zero": (
        spoiled(lambda d: d["implementations"]["dense"]["points"][2]["phases"]["iteration"].update(seconds=[0.0])),
        "implementations.dense.points[2].phases.iteration.seconds[0]",
    ),
    "widths in disorder": (spoiled(lambda d: d["problem"]["widths"].reverse()), "problem.widths"),
    "a width too few": (spoiled(lambda d: d["implementations"]["blas"]["points"].pop()), "implementations.blas.points"),
    "a speed-up too few": (spoiled(lambda d: d["speedups"]["blas"].pop("8")), "speedups.blas"),
    "an unknown rival": (spoiled(lambda d: d["crossover"].pop("blas")), "crossover"),
    "an unknown baseline": (spoiled(lambda d: d.update(baseline="sparse")), "baseline"),
    "flags as numbers": (spoiled(lambda d: d["problem"].update(interrupted=0)), "problem.interrupted"),
    "depth as a fraction": (spoiled(lambda d: d["problem"].update(depth=1.5)), "problem.depth"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_in_one_line(case, swept, document, tmp_path, capsys):
    damage, named = DAMAGE[case]
    for name in ("scaling.json", "scaling.csv"):
        (tmp_path / name).write_bytes((swept / name).read_bytes())
    damage(tmp_path, document)
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path)])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error:" in message and named in message
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_cannot_be_written_is_named(swept, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(swept), "--out", "/dev/null/report"])
    assert stopped.value.code == 2
    assert "out: expected a folder" in capsys.readouterr().err
