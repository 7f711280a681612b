"""Every public name of embargo.signals is described in full, and its examples run."""

from samples.examples import PublicNames


class TestPublicNames(PublicNames):
    package = "embargo.signals"
