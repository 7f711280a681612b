"""The tuning methods, their settings, what each needs of a base, and the defaults for each."""
