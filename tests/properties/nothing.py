"""An implementation that declares it can do nothing."""

from reference.contract import Capabilities


def factory(network, **options):
    """Never called."""
    raise AssertionError("nothing was to be built")


factory.capabilities = Capabilities(operations=())
