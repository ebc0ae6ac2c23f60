"""Units that may soon be active: they are foreseen by how near they are, and the layer above covers them."""

import torch

import impl
from impl.certified.arrays import AnchorArrays
from impl.certified.soon import AHEAD, soon_active
from reference import load_problem, random_network
from reference.contract import Activation

CPU = torch.device("cpu")


def test_the_rows_that_come_next_are_foreseen_in_the_order_of_units():
    arrays = AnchorArrays(4, 100, 1 << 10, CPU, torch.float32)
    arrays.grow_slots(4)
    arrays.grow_rows(8)
    for slot, (live, rows) in enumerate([(2, [7, 9, 80, 3, 50, 4]), (1, [8, 6]), (0, [])]):
        arrays.rows[slot, : len(rows)] = torch.tensor(rows, dtype=torch.int32)
        arrays.row_count[slot], arrays.live_count[slot] = len(rows), live
    soon = soon_active(arrays, torch.tensor([2, 0, 1, 0]), torch.tensor([1, 3, 10, 1]) * round(1 / AHEAD))
    assert soon.units.tolist() == [3, 50, 80, 6, 80] and soon.offsets.tolist() == [0, 0, 3, 4, 5]
    assert soon.sample_of_entry.tolist() == [1, 1, 1, 2, 3]


def test_new_anchors_cover_inputs_that_are_foreseen():
    """Beside those that are active, and all of them rows of the layer below."""
    problem = load_problem("digits", 8)
    network = random_network(problem.X.shape[1], [512] * 2, dtype="float32", activation=Activation())
    ours = impl.factory(network, forward="certified", self_check=True)
    active = torch.from_numpy(ours.step(problem.X, problem.y, learning_rate=0.3).active_counts[0])
    below, above = (layer.arrays for layer in ours._forward_pass.layers)
    assert (above.column_count[:8] == active + (AHEAD * active).ceil()).all()
    for slot, covered in enumerate(above.column_count[:8].tolist()):
        columns = set(above.columns[slot, :covered].tolist())
        assert columns <= set(below.rows[slot, : below.row_count[slot]].tolist())
