"""Where a step would wait for a device, found without one.

On the CPU nothing shows that the host reads what a device computes. So every call of torch's is watched: what is made
with `device=`, or from a tensor of the device, is the device's; what `cpu` returns, or what is made of nothing but
that, is the host's. Numbers of the device that Python needs, be it for the size of a result, make the host wait.
"""

import warnings
from collections import Counter
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves

#: What brings numbers to the host.
READS = {
    "torch.Tensor." + name
    for name in ("__bool__", "__float__", "__index__", "__int__", "cpu", "item", "numpy", "tolist", "__contains__")
}

#: What has a result whose size depends on numbers, or compares them for Python.
SIZES = {
    f"{module}.{name}"
    for module in ("torch", "torch.Tensor")
    for name in ("nonzero", "argwhere", "masked_select", "unique", "bincount", "equal", "allclose", "is_nonzero")
} | {"torch.functional.unique", "torch._unique2", "torch.isin"}


class Waits(TorchFunctionMode):
    """Counts the calls that would make the host wait for a device.

    Attributes:
        calls: How often each did.
    """

    def __init__(self):
        super().__init__()
        self.calls = Counter()
        self._on_host = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        of_host = all(id(tensor) in self._on_host for tensor in tensors)
        name = resolve_name(function) or getattr(function, "__name__", repr(function))
        if tensors and not of_host and self._waits(name, function, args, kwargs):
            self.calls[name.rpartition(".")[2]] += 1
        result = function(*args, **kwargs)
        moved = "device" in kwargs or name == "torch.Tensor.to"
        if name in ("torch.Tensor.cpu", "torch.Tensor.to"):
            result = result.clone()  # here it may be the same tensor, and would be on both sides
        if name == "torch.Tensor.cpu" or (of_host and not moved):
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    self._on_host[id(leaf)] = leaf  # kept, so that no other tensor gets its id
        return result

    @staticmethod
    def _waits(name, function, args, kwargs):
        if name in READS or name in SIZES:
            return True
        if name in ("torch.Tensor.__getitem__", "torch.Tensor.__setitem__"):
            masks = [leaf for leaf in tree_leaves(args[1]) if isinstance(leaf, torch.Tensor)]
            return any(mask.dtype == torch.bool for mask in masks)
        if name.endswith("repeat_interleave"):
            repeats = args[1] if len(args) > 1 else kwargs.get("repeats")
            return isinstance(repeats, torch.Tensor) and kwargs.get("output_size") is None
        return False


@contextmanager
def counted_on_cuda():
    """Yields a list to which CUDA's own warnings of waits are added, one string each."""
    mode, found = torch.cuda.get_sync_debug_mode(), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    messages = [str(warning.message) for warning in caught]
    found += [message for message in messages if "called a synchronizing CUDA operation" in message]
