"""The experiment as a file: every section and key, its default, and how settings files are read."""
