"""Every public name of embargo.models is described in full, and its examples run."""

from samples.examples import PublicNames


class TestPublicNames(PublicNames):
    package = "embargo.models"
