"""The contract: loading a factory by name, and what an implementation declares."""

import re
import types

import pytest

import impl
import reference
from reference.contract import OPERATIONS, ArgumentError, Capabilities, Implementation, capabilities_of, load_factory


def test_a_factory_is_found_by_module_and_name():
    assert load_factory("impl:factory") is impl.factory
    assert load_factory("reference.implementation:factory") is reference.factory


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("impl", "impl: expected package.module:factory, got 'impl'"),
        ("", "impl: expected package.module:factory, got ''"),
        (":factory", "impl: expected package.module:factory, got ':factory'"),
        ("impl:", "impl: expected package.module:factory, got 'impl:'"),
        ("no_such_package:factory", "impl: expected a module that can be imported, got 'no_such_package:factory' (No"),
        ("impl.no_such:factory", "impl: expected a module that can be imported, got 'impl.no_such:factory' (No"),
        ("impl:nothing", "impl: expected a callable 'nothing' in impl, got None"),
        ("reference:DTYPES", "impl: expected a callable 'DTYPES' in reference, got ('float32', 'float64')"),
        ("impl:a.b", "impl: expected a callable 'a.b' in impl, got None"),
        ("..impl:factory", "impl: expected package.module:factory, got '..impl:factory'"),
        ("impl..gram:factory", "impl: expected a module that can be imported, got 'impl..gram:factory' ("),
        (None, "impl: expected package.module:factory, got None"),
    ],
)
def test_a_factory_that_cannot_be_loaded_is_refused(name, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}"):
        load_factory(name)


def test_an_implementation_is_taken_to_do_everything_unless_it_declares_less():
    assert capabilities_of(lambda network: None) == Capabilities()
    assert Capabilities().operations == OPERATIONS
    declared = types.SimpleNamespace(capabilities=Capabilities(operations=("forward",), outputs=False))
    assert capabilities_of(declared).operations == ("forward",)


@pytest.mark.parametrize("factory", [reference.factory, impl.factory])
def test_an_implementation_has_every_operation_of_the_contract(factory):
    implementation = factory(reference.random_network(3, (4,)))
    assert all(callable(getattr(implementation, operation)) for operation in OPERATIONS)
    assert set(OPERATIONS) == {name for name in vars(Implementation) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda"}, "device: expected one of cpu, got 'cuda'"),
        ({"dtype": "float16"}, "dtype: expected one of float32, float64, got 'float16'"),
        ({"network": None}, "network: expected a Network, got NoneType"),
    ],
)
def test_the_oracle_refuses_what_it_cannot_do(arguments, message):
    network = reference.random_network(3, (4,))
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}"):
        reference.factory(**{"network": network} | arguments)
