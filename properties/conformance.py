"""The suite as a test module, for `pytest -p properties.plugin --pyargs properties.conformance --impl …`."""

from properties.plugin import conformance_tests

test_property = conformance_tests()
