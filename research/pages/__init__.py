"""What all pages wear: layout, tables, charts, formats and status marks."""
