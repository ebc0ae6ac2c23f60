"""What other processes take of the machine, from the counters of the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.commands import terminal
from benchmarks.load import BUSY, LoadMeter, probe


@pytest.fixture
def counters(monkeypatch):
    """What the kernel says from now on: all processors' time, busy time, our own, in seconds."""

    def say(*readings):
        answers = iter(readings)
        monkeypatch.setattr(load, "_now", lambda: next(answers))

    return say


@pytest.mark.parametrize(
    ("begin", "end", "share"),
    [
        ((100.0, 40.0, 5.0), (110.0, 40.0, 5.0), 0.0),  # everybody sleeps
        ((100.0, 40.0, 5.0), (110.0, 45.0, 10.0), 0.0),  # we are the only ones
        ((100.0, 40.0, 5.0), (110.0, 45.0, 5.0), 0.5),  # others have half of the machine
        ((100.0, 40.0, 5.0), (110.0, 47.5, 10.0), 0.25),
        ((100.0, 40.0, 5.0), (110.0, 50.0, 5.0), 1.0),
        ((100.0, 40.0, 5.0), (110.0, 41.0, 6.02), 0.0),  # the two are counted at different ticks
        ((100.0, 40.0, 5.0), (110.0, 50.1, 5.0), 1.0),
    ],
)
def test_others_have_what_is_busy_but_not_ours(counters, begin, end, share):
    counters(begin, end)
    assert LoadMeter().others() == pytest.approx(share, abs=1e-12)


def test_a_meter_goes_on_from_its_construction(counters):
    counters((0.0, 0.0, 0.0), (10.0, 5.0, 0.0), (20.0, 5.0, 0.0))
    meter = LoadMeter()
    assert meter.others() == pytest.approx(0.5)
    assert meter.others() == pytest.approx(0.25)


@pytest.mark.parametrize("readings", [(None, (1.0, 1.0, 1.0)), ((1.0, 1.0, 1.0), None), (None, None)])
def test_what_the_kernel_does_not_say_is_not_known(counters, readings):
    counters(*readings)
    assert LoadMeter().others() is None


def test_no_time_has_no_shares(counters):
    counters((10.0, 5.0, 1.0), (10.0, 5.0, 1.0))
    assert LoadMeter().others() is None


def pretend(monkeypatch, text):
    """The file of the kernel's counters says this, or cannot be read."""

    def read(path, **_):
        assert path == Path("/proc/stat")
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)


def test_the_kernels_line_is_read_column_by_column(monkeypatch):
    """user nice system idle iowait irq softirq steal guest guest_nice; guests are counted among the users already."""
    tick = os.sysconf("SC_CLK_TCK")
    numbers = [tick * number for number in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)]
    pretend(monkeypatch, f"cpu  {' '.join(map(str, numbers))}\ncpu0 {' '.join(map(str, numbers))}\nintr 5\n")
    everything, busy, own = load._now()
    assert everything == 1 + 2 + 4 + 8 + 16 + 32 + 64 + 128
    assert busy == everything - 8 - 16
    assert own == pytest.approx(sum(os.times()[:4]), abs=0.5)


@pytest.mark.parametrize("text", [None, "cpu  one two three\n"])
def test_where_there_are_no_counters_nothing_is_known(monkeypatch, text):
    pretend(monkeypatch, text)
    assert load._now() is None
    assert LoadMeter().others() is None


def test_a_probe_follows_others_while_we_sleep(counters, monkeypatch):
    slept = []
    monkeypatch.setattr(load.time, "sleep", slept.append)
    counters((0.0, 0.0, 0.0), (1.0, 0.75, 0.25))
    assert probe() == pytest.approx(0.5)
    assert slept == [load.PROBE_SECONDS]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the counters are those of Linux")
def test_our_own_work_is_not_that_of_others():
    """Of a process of our own as of ourselves; another's is, even on a busy machine, the rest of it."""
    meter = LoadMeter()
    before = load._now()
    subprocess.run([sys.executable, "-c", "sum(i * i for i in range(3_000_000))"], check=True, timeout=60)
    after, share = load._now(), meter.others()
    assert after[2] - before[2] > 0.0
    busy, own, everything = after[1] - before[1], after[2] - before[2], after[0] - before[0]
    ticks = 0.05 * everything + 0.1  # neither counter is exact, nor are they read at once
    assert share * everything == pytest.approx(max(busy - own, 0.0), abs=ticks)


@pytest.mark.parametrize(("share", "warned"), [(None, False), (0.0, False), (BUSY, False), (0.37, True)])
def test_a_busy_machine_is_warned_of(share, warned, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "probe", lambda: share)
    assert terminal.warn_if_busy() == share
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ("warning: other processes take 37% of the processors; times will suffer\n" if warned else "")
