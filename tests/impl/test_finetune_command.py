"""`python -m impl.finetune`, small: what it prints, writes and leaves alone."""

import json

import pytest

import impl
from impl.finetune import main

SMALL = ["--width", "96", "--pretraining-epochs", "1", "--epochs", "1", "--batch", "64", "--damping", "300"]
KEYS = {
    "accuracy_before",
    "accuracy_after",
    "accuracy_dense",
    "delta_bytes",
    "base_bytes",
    "seconds_per_iteration",
    "dense_seconds_per_iteration",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    return folder, main([*SMALL, "--folder", str(folder)])


def test_it_keeps_a_base_and_a_delta_that_load(finished):
    folder, status = finished
    assert status == 0
    tuned = impl.load_delta(folder / "delta.safetensors")
    assert max(tuned.ranks) > 0
    assert tuned.shell.widths == (64, 96, 96)


def test_the_last_line_is_json(capsys):
    assert main([*SMALL, "--seed", "1"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(lines[-1])
    assert set(figures) == KEYS
    assert all(0.0 <= figures[key] <= 1.0 for key in KEYS if key.startswith("accuracy"))
    assert figures["base_bytes"] > 4 * 96 * 96
    assert any("unchanged" in line for line in lines)
    assert sum("0." in line for line in lines[2:6]) == 4  # densities of four shifts


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--width", "0"], "--width"),
        (["--tolerance", "0"], "tolerance"),
        (["--damping", "-1"], "--damping"),
        (["--folder", "/dev/null/there"], "path"),
        (["--device", "abacus"], "device: expected a device that torch can use here"),
        (["--device", "meta"], "device: expected a device that stores numbers"),
    ],
)
def test_bad_options_are_named_in_one_line(options, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*SMALL, *options])
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_device_is_named(capsys):
    assert main([*SMALL, "--device", "cpu"]) == 0
    assert "float32, cpu, " in capsys.readouterr().out


@pytest.mark.cuda
def test_it_fine_tunes_on_cuda(capsys):
    assert main([*SMALL, "--device", "cuda"]) == 0
    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert figures["accuracy_after"] > figures["accuracy_before"]
