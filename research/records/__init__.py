"""What runs leave behind: folders, provenance, and the ledger of attempts."""
