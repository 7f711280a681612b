"""How many leaks the audit catches, and how often it doubts what is clean: plants and clean worlds, carried through."""
