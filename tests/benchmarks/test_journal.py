"""The journal of a sweep: whole lines, whatever ended the process, and never those of another sweep."""

import json
import os

import pytest

from benchmarks.journal import NAME, SCHEMA, open_journal
from reference.contract import ArgumentError
from tests.benchmarks.journals import read_journal

HEADER = {"environment": {"commit": "abc", "threads": 2}, "problem": {"widths": (8, 12), "seed": 0}}
VISIT = {"kind": "visit", "elapsed": 0.5, "visit": {"round": 0, "m": 8, "seconds": [0.1 + 0.2, 1e-9]}}
MEMORY = {"kind": "memory", "m": 8, "bytes": 17}
END = {"kind": "end", "ended_by": "rounds"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / NAME


def begun(path, *entries, header=HEADER):
    """A journal with some entries, as a sweep that goes no further leaves it."""
    journal = open_journal(path.parent, header, fresh=True)
    for entry in entries:
        journal.append(entry)
    journal.close()
    return path.read_bytes()


def reopened(path, *, header=HEADER, fresh=False):
    journal = open_journal(path.parent, header, fresh=fresh)
    journal.close()
    return journal.entries


def test_every_entry_is_a_line_as_soon_as_it_is_written(path, monkeypatch):
    journal, synchronized = open_journal(path.parent, HEADER, fresh=False), []
    monkeypatch.setattr(os, "fsync", lambda _: synchronized.append(path.read_bytes()))
    assert len(path.read_bytes().splitlines()) == 1
    for count, entry in enumerate((VISIT, MEMORY, END), 2):
        journal.append(entry)
        lines = path.read_bytes().splitlines(keepends=True)
        assert len(lines) == count and lines[-1].endswith(b"\n")
        assert json.loads(lines[-1]) == entry
        assert synchronized[-1] == path.read_bytes()
    journal.close()
    assert [line.name for line in path.parent.iterdir()] == [NAME]


def test_what_was_written_is_read_back_to_the_last_bit(path):
    begun(path, VISIT, MEMORY, END)
    header, entries = read_journal(path)
    assert (header["kind"], header["schema"]) == ("header", SCHEMA)
    assert header["environment"] == HEADER["environment"] and header["problem"]["widths"] == [8, 12]
    assert entries == [VISIT, MEMORY, END]


def test_an_unfinished_sweep_goes_on(path):
    before = begun(path, VISIT)
    journal = open_journal(path.parent, HEADER, fresh=False)
    assert journal.entries == [VISIT]
    journal.append(MEMORY)
    journal.close()
    assert path.read_bytes() == before + (json.dumps(MEMORY) + "\n").encode()
    assert reopened(path) == [VISIT, MEMORY]


def test_a_torn_last_line_is_cut_wherever_it_was_torn(path):
    whole = begun(path, VISIT)
    last = begun(path, VISIT, MEMORY).removeprefix(whole)
    for length in range(1, len(last)):
        path.write_bytes(whole + last[:length])
        assert reopened(path) == [VISIT]
        assert path.read_bytes() == whole
    path.write_bytes(whole + last)
    assert reopened(path) == [VISIT, MEMORY]


@pytest.mark.parametrize("content", [b"", b'{"kind": "header", "sch'])
def test_a_journal_without_a_whole_line_holds_nothing(path, content):
    path.write_bytes(content)
    assert reopened(path) == []
    assert read_journal(path)[0]["kind"] == "header"


def test_a_finished_sweep_makes_way(path):
    begun(path, VISIT, END)
    assert reopened(path, header={"another": "one"}) == []
    header, entries = read_journal(path)
    assert header["another"] == "one" and entries == []


@pytest.mark.parametrize("torn", [b"", b'{"kind": "vis'])
def test_a_sweep_without_an_entry_makes_way(path, torn):
    """One that was begun with a mistake in its options, say."""
    path.write_bytes(begun(path) + torn)
    assert reopened(path, header={"another": "one"}) == []
    assert read_journal(path)[0]["another"] == "one"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**HEADER, "problem": {"widths": (8, 16), "seed": 0}}, r"widths is \[8, 12\], not \[8, 16\]"),
        ({**HEADER, "environment": {"commit": "def", "threads": 2}}, "commit is 'abc', not 'def'"),
        ({"environment": HEADER["environment"]}, "problem is .*, not None"),
        ({**HEADER, "more": 1}, "more is None, not 1"),
        (
            {"environment": {"commit": "abc", "threads": 4}, "problem": {"widths": (8, 12), "seed": 1}},
            "threads is 2, not 4; seed is 0, not 1",
        ),
    ],
    ids=["plan", "environment", "less", "more", "two things"],
)
@pytest.mark.parametrize("torn", [b"", b'{"kind": "vis'])
def test_an_unfinished_sweep_of_something_else_is_left_alone(path, other, message, torn):
    path.write_bytes(begun(path, VISIT) + torn)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(ArgumentError, match=f"^out: .*--fresh.*{message}"):
        open_journal(path.parent, other, fresh=False)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [file.name for file in path.parent.iterdir()] == [NAME]


def test_what_is_the_same_is_not_named(path):
    begun(path, VISIT)
    with pytest.raises(ArgumentError) as refused:
        open_journal(path.parent, {**HEADER, "problem": {"widths": (8, 12), "seed": 7}}, fresh=False)
    assert "seed" in str(refused.value)
    assert not any(word in str(refused.value) for word in ("widths", "commit", "threads", "schema"))


def test_another_schema_is_something_else(path):
    path.write_bytes(begun(path, VISIT).replace(b'"schema": %d' % SCHEMA, b'"schema": 1'))
    with pytest.raises(ArgumentError, match="schema is 1"):
        open_journal(path.parent, HEADER, fresh=False)


@pytest.mark.parametrize("header", [HEADER, {"another": "one"}])
def test_fresh_discards_whatever_is_there(path, header):
    begun(path, VISIT)
    assert reopened(path, header=header, fresh=True) == []
    path.write_bytes(b"damaged\n")
    assert reopened(path, header=header, fresh=True) == []
    assert reopened(path, header=header) == []


@pytest.mark.parametrize("damage", [b"{}\n", b"[1]\n", b"\n", b"\x00\x00\x00\n", b'{"kind": \n', b"\xff\xfe\n"])
def test_a_damaged_file_is_named_and_left_alone(path, damage):
    lines = begun(path, VISIT, MEMORY).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=f"^samples: .*{NAME}"):
        open_journal(path.parent, HEADER, fresh=False)
    assert path.read_bytes() == before


def test_a_file_that_is_no_journal_is_not_one_and_is_not_overwritten(path):
    path.write_text('{"kind": "visit"}\n')
    with pytest.raises(ArgumentError, match=NAME):
        open_journal(path.parent, HEADER, fresh=False)
    assert path.read_text() == '{"kind": "visit"}\n'


def test_a_death_while_it_is_begun_leaves_the_old_one(path, monkeypatch):
    before = begun(path, VISIT, END)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        open_journal(path.parent, HEADER, fresh=False)
    assert path.read_bytes() == before


def test_a_folder_that_is_measured_into_is_refused(tmp_path):
    journal = open_journal(tmp_path, HEADER, fresh=False)
    journal.append({"kind": "visit"})
    with pytest.raises(ArgumentError, match="no other process"):
        open_journal(tmp_path, HEADER, fresh=True)
    journal.close()
    again = open_journal(tmp_path, HEADER, fresh=False)
    assert again.entries == [{"kind": "visit"}]
    again.close()
