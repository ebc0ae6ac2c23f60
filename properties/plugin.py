"""The suite under pytest: every property is a test of its own.

From the command line, for an implementation that has no tests yet:

    pytest -p properties.plugin --pyargs properties.conformance --impl package.module:factory

or as one line in a test module of one's own:

    test_mine = conformance_tests("package.module:factory")

A property that is skipped is a skip with its reason. One that fails shows its failure and no traceback of the suite; so
does one on which the oracles disagree, which says that no implementation is to blame. The options and the header need
the plugin to be loaded, by -p as above or by `pytest_plugins = ["properties.plugin"]` in conftest.py; the one line in
a test module works without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from properties.runner.header import header, header_lines
from properties.runner.profiles import PROFILES, Profile
from properties.runner.report import outcome_lines
from properties.runner.run import run_property
from properties.runner.subject import subject_named
from properties.suite import REGISTRY, Property
from reference.contract.arguments import ArgumentError
from reference.contract.command_line import whole


def conformance_tests(
    implementation: str | None = None, *, profile: str | None = None, device: str | None = None
) -> Callable[[Property, pytest.FixtureRequest], None]:
    """A test function to be assigned to a name that pytest collects; its parameters are the properties.

    Args:
        implementation: "package.module:factory", options may follow; None for the command line's --impl.
        profile: dev, ci or nightly; None for the command line's --suite-profile, or else ci.
        device: A torch device; None for the command line's --suite-device, or else cpu.
    """

    @pytest.mark.parametrize("item", REGISTRY, ids=lambda item: item.name)
    def test(item: Property, request: pytest.FixtureRequest) -> None:
        name = implementation or request.config.getoption("suite_impl", None)
        if name is None:
            pytest.fail("--impl package.module:factory is missing", pytrace=False)
        chosen = _profile(request.config, profile)
        try:
            subject = subject_named(name, device or _option(request.config, "device", "cpu"), chosen.run_length)
        except ArgumentError as error:
            pytest.fail(str(error), pytrace=False)
        outcome = run_property(item, subject, profile=chosen)
        if outcome.state == "skipped":
            pytest.skip(outcome.skipped)
        if outcome.state != "passed":
            pytest.fail("\n".join(line.strip() for line in outcome_lines(outcome)), pytrace=False)

    test.__doc__ = f"The properties hold for {implementation or 'the implementation of --impl'}."
    return test


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `python -m properties` that make sense here."""
    group = parser.getgroup("properties", "the verification suite")
    group.addoption("--impl", dest="suite_impl", metavar="MODULE:FACTORY", help="the implementation under test")
    group.addoption("--suite-device", metavar="DEVICE", help="a torch device, default: cpu")
    group.addoption("--suite-profile", choices=list(PROFILES), help="how much is tried, default: ci")
    group.addoption("--suite-examples", type=whole(1), help="random cases a property, default: the profile's")
    group.addoption("--suite-seed", type=whole(0), help="of the random cases, default: the profile's")


def pytest_configure(config: pytest.Config) -> None:
    """Draws the seed once for all tests, also for those in other processes, which get the options.

    Raises:
        UsageError: where --impl cannot be loaded.
    """
    if name := _option(config, "impl", None):
        try:
            subject_named(name)
        except ArgumentError as error:
            raise pytest.UsageError(str(error)) from error
    if _option(config, "seed", None) is None:
        profile = PROFILES[_option(config, "profile", "ci")]
        config.option.suite_seed = profile.with_choices().seed


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is under test, where --impl names it."""
    if not (name := _option(config, "impl", None)):
        return []
    profile = _profile(config, None)
    subject = subject_named(name, _option(config, "device", "cpu"), profile.run_length)
    return header_lines(header(subject, profile))


def _profile(config: pytest.Config, name: str | None) -> Profile:
    profile = PROFILES[name or _option(config, "profile", "ci")]
    return profile.with_choices(examples=_option(config, "examples", None), seed=_option(config, "seed", None))


def _option(config: pytest.Config, name: str, default: Any) -> Any:
    value = config.getoption(f"suite_{name}", None)
    return default if value is None else value
