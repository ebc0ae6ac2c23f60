"""Bases and deltas in files: what is written comes back to the last bit, or it is refused with one clear error."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import impl
from impl.files import atomic
from impl.files.container import write_container
from impl.files.delta_file import _checksum
from impl.weights import Keep, RecompressWhenGrown
from reference import ArgumentError, Network, load_problem, random_network

ROOT = Path(__file__).resolve().parent.parent.parent
PROBLEM = load_problem("synthetic", 4, dimension=5)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def small(seed=0, **options):
    return random_network(5, [12, 10, 9], activation=("shifted_relu", 0.0), seed=seed, **options)


def steps(network, count, seed=0):
    """Trains on other samples in every step."""
    for offset in range(count):
        problem = load_problem("synthetic", 4, dimension=5, seed=seed + offset)
        network.step(problem.X, problem.y, damping=1e-2, learning_rate=0.5)
    return network


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outputs(network):
    return network.forward(PROBLEM.X).tobytes()


@pytest.fixture
def base(tmp_path):
    impl.write_base(small(), tmp_path / "base.safetensors", dtype="float64")
    return tmp_path / "base.safetensors"


@pytest.fixture
def delta(base):
    impl.save_delta(steps(impl.open_base(base), 3), base.with_name("delta"))
    return base.with_name("delta")


def with_extras(kind, b, biases, readout_bias):
    rng = np.random.default_rng(1)
    widths = [5, 12, 3, 9]
    return Network(
        [rng.standard_normal(shape) for shape in zip(widths[1:], widths[:-1], strict=True)],
        biases=[rng.standard_normal(width) for width in widths[1:]] if biases else None,
        readout=rng.standard_normal((2, 9)),
        activation=(kind, b),
        readout_bias=rng.standard_normal(2) if readout_bias else None,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "network",
    [
        with_extras("shifted_relu", None, False, False),
        with_extras("shifted_relu", 0.1, True, False),
        with_extras("thresholded_identity", 1 / 3, False, True),
        with_extras("thresholded_identity", None, True, True),
    ],
)
def test_a_base_comes_back_as_it_was_written(network, dtype, tmp_path):
    impl.write_base(network, tmp_path / "base", dtype=dtype)
    found = impl.open_base(tmp_path / "base").to_network()
    assert found.activation == network.activation
    pairs = [*zip(found.weights, network.weights, strict=True), (found.readout, network.readout)]
    for left, right in [(found.biases, network.biases), (found.readout_bias, network.readout_bias)]:
        assert (left is None) == (right is None)
        pairs += [] if right is None else list(zip(left, right, strict=True))
    for left, right in pairs:
        assert np.array_equal(left, right.astype(dtype))
    expected = impl.factory(network, dtype=dtype, weights="lazy").forward(PROBLEM.X)
    assert impl.open_base(tmp_path / "base").forward(PROBLEM.X).tobytes() == expected.tobytes()


def test_a_base_is_the_same_bytes_whenever_it_is_written_and_readable_to_others(base):
    again = base.with_name("again")
    impl.write_base(small(), again, dtype="float64")
    assert again.read_bytes() == base.read_bytes()
    with safe_open(base, "np") as file:
        assert np.array_equal(file.get_tensor("layers.2.table"), small().weights[1].T)
    assert base.stat().st_mode == Path(_plain_file(base.with_name("plain"))).stat().st_mode


def _plain_file(path):
    path.write_text("")
    return path


def test_a_base_must_be_finite_in_its_dtype(tmp_path):
    weights = [weight.copy() for weight in small().weights]
    weights[1][3, 4] = 1e200
    network = Network(weights, readout=small().readout)
    with pytest.raises(ArgumentError, match=r"weights\[1\]: expected values finite in float32.*\(3, 4\)"):
        impl.write_base(network, tmp_path / "base")
    with pytest.raises(ArgumentError, match="dtype: expected one of"):
        impl.write_base(network, tmp_path / "base", dtype="float16")
    with pytest.raises(ArgumentError, match="network: expected a Network"):
        impl.write_base(None, tmp_path / "base")
    assert not list(tmp_path.iterdir())


def mapping_of(address):
    """The lines of /proc/self/smaps on the mapping with an address."""
    with open("/proc/self/smaps", encoding="utf-8") as file:
        lines = file.read().splitlines()
    for index, line in enumerate(lines):
        bounds = line.split()[0].split("-")
        if len(bounds) == 2 and int(bounds[0], 16) <= address < int(bounds[1], 16):
            return line, dict(islice((entry.split(":", 1) for entry in lines[index + 1 :]), 20))
    raise AssertionError("not mapped")


@LINUX
def test_tables_are_the_mapped_file_and_networks_share_its_pages(tmp_path):
    impl.write_base(random_network(64, [1024, 1024]), tmp_path / "base")
    networks = [impl.open_base(tmp_path / "base") for _ in range(2)]
    problem = load_problem("digits", 8)
    for network in networks:
        network.step(problem.X, problem.y, damping=1e-2)
    addresses = {weight.table.data_ptr() for network in networks for weight in network.weights}
    assert len(addresses) == 4
    for address in addresses:
        line, figures = mapping_of(address)
        assert line.endswith(str(tmp_path / "base"))
        # Pages of the file itself: not one was copied to memory of the process.
        assert figures["Anonymous"].split() == figures["Private_Dirty"].split() == ["0", "kB"]
        assert int(figures["Size"].split()[0]) >= 4 * 1024


@pytest.mark.parametrize("maintenance", ["keep", "fold", RecompressWhenGrown(2)])
def test_training_never_writes_the_file(base, maintenance):
    before, network = digest(base), impl.open_base(base, maintenance=maintenance)
    steps(network, 5)
    network.recompress()
    network.fold()
    changed = outputs(network)
    steps(network, 2)
    network.fold()
    assert digest(base) == before == impl.open_base(base).origin.sha256
    assert changed != outputs(impl.open_base(base)) == outputs(impl.factory(small(), dtype="float64", weights="lazy"))


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
@pytest.mark.parametrize("maintenance", [Keep(), RecompressWhenGrown(3), RecompressWhenGrown(2, 0.3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_delta_comes_back_to_the_last_bit_and_trains_on_so(tmp_path, maintenance, kernels, dtype):
    impl.write_base(with_extras("shifted_relu", 0.1, True, True), tmp_path / "base", dtype=dtype)
    options = {"maintenance": maintenance, "kernels": kernels}
    network = impl.open_base(tmp_path / "base", **options)
    for k in range(5):
        impl.save_delta(network, tmp_path / "delta")
        loaded = impl.load_delta(tmp_path / "delta", **options)
        assert outputs(loaded) == outputs(network)
        assert loaded.ranks == network.ranks
        for problem in (load_problem("synthetic", 4, dimension=5, seed=k // 2), PROBLEM):
            for trained in (network, loaded):
                trained.step(problem.X, np.hstack([problem.y, -problem.y]), damping=1e-2, learning_rate=0.3)
            assert outputs(loaded) == outputs(network)
            assert loaded.ranks == network.ranks
    first = loaded.gradient(PROBLEM.X, np.ones((4, 2)))
    assert all(np.array_equal(*pair) for pair in zip(first, network.gradient(PROBLEM.X, np.ones((4, 2))), strict=True))


def test_a_loaded_network_counts_from_the_state_that_was_saved(delta):
    network = impl.load_delta(delta)
    saved = outputs(network)
    assert steps(network, 2).iteration == 2
    network.undo(0)
    assert outputs(network) == saved


def test_the_bound_on_weights_holds_after_loading(base):
    network = steps(impl.open_base(base), 4)
    for recompressed in (False, True):
        if recompressed:
            network.recompress()
        impl.save_delta(network, base.with_name("delta"))
        loaded = impl.load_delta(base.with_name("delta"))
        for weight, matrix in zip(loaded.weights, loaded.to_network().weights, strict=True):
            assert np.abs(matrix).max() <= weight.state.magnitude < 1e3


def test_several_fine_tunings_share_a_base(base):
    saved = {}
    for seed in range(3):
        network = steps(impl.open_base(base, trained_layers=[2]), 2, seed=10 * seed)
        impl.save_delta(network, base.with_name(f"delta{seed}"))
        saved[seed] = outputs(network)
    fork = network.fork()
    impl.save_delta(steps(fork, 1), base.with_name("fork"))
    assert len({*saved.values(), outputs(fork)}) == 4
    for seed, expected in saved.items():
        assert outputs(impl.load_delta(base.with_name(f"delta{seed}"))) == expected
    assert outputs(impl.load_delta(base.with_name("fork"))) == outputs(fork)
    assert base.with_name("delta0").stat().st_size < base.stat().st_size


def test_files_may_move_together_and_the_base_alone_if_it_is_named(delta, base, tmp_path):
    expected = outputs(impl.load_delta(delta))
    (tmp_path / "new").mkdir()
    delta.rename(tmp_path / "new" / "delta")
    with pytest.raises(ArgumentError, match="base: expected a base file that can be read"):
        impl.load_delta(tmp_path / "new" / "delta")
    assert outputs(impl.load_delta(tmp_path / "new" / "delta", base=base)) == expected
    base.rename(tmp_path / "new" / base.name)
    assert outputs(impl.load_delta(tmp_path / "new" / "delta")) == expected
    (tmp_path / "link").symlink_to(tmp_path / "new" / "delta")
    assert outputs(impl.load_delta(tmp_path / "link")) == expected


def test_another_base_is_refused(delta, base):
    impl.write_base(small(seed=1), base.with_name("other"), dtype="float64")
    message = f"base: expected the file with SHA-256 {digest(base)}, got {digest(base.with_name('other'))}"
    with pytest.raises(ArgumentError, match=message):
        impl.load_delta(delta, base=base.with_name("other"))
    contents = base.read_bytes()
    for position in random.Random(0).sample(range(len(contents)), 200):
        base.write_bytes(flipped(contents, position, position % 8))
        with pytest.raises(ArgumentError, match="base: expected the file with SHA-256"):
            impl.load_delta(delta)
    base.unlink()
    with pytest.raises(ArgumentError, match="base: expected a base file that can be read"):
        impl.load_delta(delta)


def flipped(contents, position, bit):
    return contents[:position] + bytes([contents[position] ^ 1 << bit]) + contents[position + 1 :]


def refused(function, path, **options):
    """That a file is refused with an ArgumentError that names it; any other exception ends the test."""
    with pytest.raises(ArgumentError, match=r"^path: expected .*, got .*") as caught:
        function(path, **options)
    assert type(caught.value) is ArgumentError


@pytest.fixture
def small_delta(base):
    impl.save_delta(steps(impl.open_base(base, trained_layers=[2]), 1), base.with_name("delta"))
    return base.with_name("delta")


def test_a_delta_cut_off_anywhere_is_refused(small_delta):
    contents = small_delta.read_bytes()
    for changed in [*(contents[:length] for length in range(len(contents))), contents + b"\0"]:
        small_delta.write_bytes(changed)
        refused(impl.load_delta, small_delta)


def test_a_base_cut_off_anywhere_is_refused(base):
    contents = base.read_bytes()
    for length in [*range(600), *range(600, len(contents), 97), len(contents) - 1]:
        base.write_bytes(contents[:length])
        refused(impl.open_base, base)


def test_a_delta_with_a_bit_flipped_anywhere_is_refused(small_delta):
    contents = small_delta.read_bytes()
    header = 8 + int.from_bytes(contents[:8], "little")
    for position in range(len(contents)):
        # In the header also the bit between capital and small letters, and in its length all of them.
        for bit in range(8) if position < 8 else {position % 8, 5} if position < header else {position % 8}:
            small_delta.write_bytes(flipped(contents, position, bit))
            refused(impl.load_delta, small_delta)


def test_a_damaged_header_of_a_base_is_refused_or_changes_nothing_but_the_hash(base):
    contents, sha256 = base.read_bytes(), digest(base)
    for position in range(8 + int.from_bytes(contents[:8], "little")):
        base.write_bytes(flipped(contents, position, position % 7))
        try:
            network = impl.open_base(base)
        except ArgumentError as error:
            assert str(error).startswith("path: expected")  # noqa: PT017  # not every flip is an error
        else:
            assert network.origin.sha256 != sha256


def read(path):
    with safe_open(path, "np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict


BAD_BASES = {
    "readout missing": lambda metadata, arrays: arrays.pop("readout"),
    "table missing": lambda metadata, arrays: arrays.pop("layers.2.table"),
    "one table too many": lambda metadata, arrays: arrays.update({"layers.7.table": np.ones((9, 9))}),
    "unknown array": lambda metadata, arrays: arrays.update(other=np.ones(3)),
    "one bias": lambda metadata, arrays: arrays.update({"layers.1.bias": np.ones(12)}),
    "nothing": lambda metadata, arrays: arrays.clear(),
    "widths that do not chain": lambda metadata, arrays: arrays.update({"layers.2.table": np.ones((11, 10))}),
    "a vector for a table": lambda metadata, arrays: arrays.update({"layers.2.table": np.ones(12)}),
    "two dtypes": lambda metadata, arrays: arrays.update(readout=np.ones((1, 9), np.float32)),
    "integers": lambda metadata, arrays: arrays.update({name: a.astype(np.int32) for name, a in arrays.items()}),
    "no inputs": lambda metadata, arrays: arrays.update({"layers.1.table": np.ones((0, 12))}),
    "no outputs": lambda metadata, arrays: arrays.update(readout=np.ones((0, 9))),
    "NaN": lambda metadata, arrays: arrays.update({"layers.2.table": np.full((12, 10), np.nan)}),
    "infinite readout": lambda metadata, arrays: arrays.update(readout=np.full((1, 9), np.inf)),
    "activation": lambda metadata, arrays: metadata.update(activation="gelu"),
    "b": lambda metadata, arrays: metadata.update(b="nan"),
    "no b": lambda metadata, arrays: metadata.pop("b"),
    "format": lambda metadata, arrays: metadata.update(format="pt"),
    "version": lambda metadata, arrays: metadata.update(version="2"),
    "no metadata": lambda metadata, arrays: metadata.clear(),
}


@pytest.mark.parametrize("change", BAD_BASES.values(), ids=BAD_BASES)
def test_a_file_that_is_no_base_is_refused(base, change):
    metadata, arrays = read(base)
    change(metadata, arrays)
    write_container(base, metadata, arrays)
    refused(impl.open_base, base)


def test_a_base_in_another_type_of_number_is_refused(base):
    contents = base.read_bytes()
    base.write_bytes(contents.replace(b'"F64"', b'"I64"'))
    refused(impl.open_base, base)
    base.write_bytes(b"\x80\x04K\x01.")  # a pickle
    refused(impl.open_base, base)


BAD_DELTAS = {
    "offsets": lambda arrays: arrays["layers.2.right.offsets"].__setitem__(1, 10**6),
    "offsets that go back": lambda arrays: arrays["layers.2.right.offsets"].__setitem__(1, -1),
    "units beyond the width": lambda arrays: arrays["layers.2.left.units"].__setitem__(-1, 10),
    "negative units": lambda arrays: arrays["layers.2.left.units"].__setitem__(0, -1),
    "units twice": lambda arrays: arrays["layers.2.left.units"].__setitem__(slice(0, 2), 3),
    "NaN": lambda arrays: arrays["layers.2.left.values"].__setitem__(0, np.nan),
    "float32": lambda arrays: arrays.update({"layers.2.left.values": np.ones(3, np.float32)}),
    "no terms": lambda arrays: arrays.pop("layers.2.terms"),
    "empty terms": lambda arrays: arrays.update({"layers.2.terms": np.zeros(0, np.int32)}),
    "terms that overlap": lambda arrays: arrays["layers.2.terms"].__setitem__(1, 0),
    "more terms than factors": lambda arrays: arrays["layers.2.terms"].__setitem__(-1, 99),
    "fewer values": lambda arrays: arrays.update({"layers.2.left.values": arrays["layers.2.left.values"][1:]}),
    "unknown layer": lambda arrays: arrays.update({"layers.4.terms": np.zeros(1, np.int32)}),
    "half a dense pair": lambda arrays: arrays.update({"layers.2.dense.right": np.ones((12, 2))}),
    "dense of other widths": lambda arrays: arrays.update(
        {"layers.2.dense.right": np.ones((12, 2)), "layers.2.dense.left": np.ones((9, 2))}
    ),
    "dense of other ranks": lambda arrays: arrays.update(
        {"layers.2.dense.right": np.ones((12, 2)), "layers.2.dense.left": np.ones((10, 3))}
    ),
    "dense of no rank": lambda arrays: arrays.update(
        {"layers.2.dense.right": np.ones((12, 0)), "layers.2.dense.left": np.ones((10, 0))}
    ),
    "dense NaN": lambda arrays: arrays.update(
        {"layers.2.dense.right": np.full((12, 1), np.nan), "layers.2.dense.left": np.ones((10, 1))}
    ),
}


def rewrite(path, metadata, arrays):
    """Writes a delta with a checksum that fits."""
    metadata.pop("checksum")
    write_container(path, {**metadata, "checksum": _checksum(metadata, arrays)}, arrays)


@pytest.mark.parametrize("change", BAD_DELTAS.values(), ids=BAD_DELTAS)
def test_a_delta_that_means_nothing_is_refused_though_its_checksum_fits(delta, change):
    metadata, arrays = read(delta)
    rewrite(delta, metadata, arrays)
    impl.load_delta(delta)
    metadata, arrays = read(delta)
    change(arrays)
    rewrite(delta, metadata, arrays)
    refused(impl.load_delta, delta)


@pytest.mark.parametrize("name", ["format", "version", "dtype", "base", "base_sha256"])
def test_a_delta_without_its_metadata_is_refused(delta, name):
    metadata, arrays = read(delta)
    metadata.pop(name)
    rewrite(delta, metadata, arrays)
    refused(impl.load_delta, delta)


@pytest.mark.parametrize("path", [None, 3, "a\0b", "missing/file", "."])
def test_paths_that_lead_nowhere_are_refused(base, path, monkeypatch):
    monkeypatch.chdir(base.parent)
    for function in (impl.open_base, impl.load_delta):
        refused(function, path)
    with pytest.raises(ArgumentError, match="path: expected"):
        impl.save_delta(impl.open_base(base), path)
    with pytest.raises(ArgumentError, match="path: expected"):
        impl.write_base(small(), path)
    assert list(base.parent.iterdir()) == [base]


@pytest.mark.parametrize(
    "options",
    [
        {"device": "nowhere"},
        {"maintenance": "sometimes"},
        {"solver": "guess"},
        {"trained_layers": [4]},
        {"kernels": "fast"},
    ],
)
def test_bad_options_are_refused(base, delta, options):
    (name,) = options
    for function, path in ((impl.open_base, base), (impl.load_delta, delta)):
        with pytest.raises(ArgumentError, match=f"^{name}: expected"):
            function(path, **options)


def test_only_networks_over_their_file_have_a_delta(base, delta):
    before = delta.read_bytes()
    folded = steps(impl.open_base(base), 1)
    folded.fold()
    for network in (
        folded,
        folded.fork(),
        impl.factory(small()),
        impl.factory(small(), weights="lazy"),
        small(),
    ):
        with pytest.raises(ArgumentError, match="network: expected a network over a base file"):
            impl.save_delta(network, delta)
    with pytest.raises(ArgumentError, match="path: expected another file than the base"):
        impl.save_delta(impl.open_base(base), base)
    assert delta.read_bytes() == before
    folded.undo(0)
    impl.save_delta(folded, delta)
    assert outputs(impl.load_delta(delta)) == outputs(impl.open_base(base))


class Planted(OSError):
    pass


@pytest.mark.parametrize("error", [Planted, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["open", "fsync", "replace", "close of the folder"])
def test_a_failure_while_saving_leaves_a_whole_file_and_no_other(base, delta, monkeypatch, place, error):
    new, before, files = steps(impl.open_base(base), 5), outputs(impl.load_delta(delta)), set(base.parent.iterdir())

    def fail(*arguments, **options):
        raise error("planted")

    name = {"open": "builtins.open", "close of the folder": "os.open"}.get(place, f"os.{place}")
    with monkeypatch.context() as patch:
        patch.setattr(name, fail)
        with pytest.raises(ArgumentError if error is Planted else error):
            impl.save_delta(new, delta)
    assert set(base.parent.iterdir()) == files
    # Once it is renamed the new file is there; only whether it would outlive a power failure is not known.
    assert outputs(impl.load_delta(delta)) == (outputs(new) if place == "close of the folder" else before)


@pytest.mark.parametrize("part", range(5))
def test_a_failure_between_any_parts_leaves_the_old_file(tmp_path, part):
    (tmp_path / "file").write_bytes(b"old")

    def parts():
        yield from [b"new"] * part
        raise Planted

    with pytest.raises(Planted):
        atomic.write_atomically(tmp_path / "file", parts())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_disk_that_fills_up_while_saving_leaves_the_old_file(base, delta):
    new, before, files = steps(impl.open_base(base), 5), delta.read_bytes(), set(base.parent.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 1, 100, 1000, 5000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # Python ignores the signal, so that writes fail
        try:
            with pytest.raises(ArgumentError, match="path: expected a file that can be written") as caught:
                impl.save_delta(new, delta)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "too large" in str(caught.value)
        assert (delta.read_bytes(), set(base.parent.iterdir())) == (before, files)


SAVER = """
    import os, sys
    import torch
    import impl
    from reference import load_problem

    torch.set_num_threads(1)
    base, delta = sys.argv[1:]
    network = impl.open_base(base, maintenance="keep", kernels="torch")
    states = [network.fork()]
    for seed in range(STATES - 1):
        problem = load_problem("synthetic", 4, dimension=5, seed=seed)
        network.step(problem.X, problem.y, damping=1e-2, learning_rate=0.5)
        states.append(network.fork())
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            os.write(1, b"%d\\n" % os.getpid())
            while True:
                for k, state in enumerate(states):
                    os.write(1, b"%d\\n" % k)
                    impl.save_delta(state, delta)
        os.waitpid(child, 0)
        print("dead", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_process_killed_while_saving_leaves_the_old_delta_or_the_new_one(base):
    """A process that has imported everything forks savers, so that a kill lands in the saving."""
    states, delta, rng = 12, base.with_name("delta"), random.Random(0)
    network = impl.open_base(base, maintenance="keep", kernels="torch")
    impl.save_delta(network, delta)
    torch.set_num_threads(1)
    expected = [outputs(network), *(outputs(steps(network, 1, seed)) for seed in range(states - 1))]
    assert len(set(expected)) == states
    code = textwrap.dedent(SAVER).replace("STATES", str(states))
    with subprocess.Popen(
        [sys.executable, "-c", code, base, delta],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        found = set()
        previous = 0
        for _ in range(20):
            process.stdin.write("\n")
            saver = int(process.stdout.readline())
            # So many saves first, as a busy machine may not come to the second within any fixed time.
            begun = [int(process.stdout.readline()) for _ in range(rng.randrange(1, 2 * states))]
            time.sleep(rng.uniform(0.0, 0.002))
            os.kill(saver, signal.SIGKILL)
            begun += [int(line) for line in iter(process.stdout.readline, "dead\n")]
            allowed = {begun[-1], begun[-2]} if len(begun) > 1 else {previous, *begun}
            loaded = outputs(impl.load_delta(delta, maintenance="keep", kernels="torch"))
            assert loaded in [expected[k] for k in allowed]
            previous = expected.index(loaded)
            found.add(previous)
        process.stdin.close()
    assert len(found) > 3
    leftovers = list(base.parent.glob(".delta.*.tmp"))
    assert leftovers  # so at least some kills came in the middle of a file
    for path in leftovers:
        path.unlink()
    assert set(base.parent.iterdir()) == {base, delta}
