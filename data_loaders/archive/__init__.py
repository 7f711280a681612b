"""News, prices and labels from files: parquet, CSV and JSONL, packed or not, read as they are and validated."""
