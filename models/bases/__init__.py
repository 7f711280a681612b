"""Base models: the registry of what is documented about published ones, and how a name becomes files."""
