"""Every public name of embargo.data_loaders is described in full, and its examples run."""

from samples.examples import PublicNames


class TestPublicNames(PublicNames):
    package = "embargo.data_loaders"
