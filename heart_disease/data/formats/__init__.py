"""Files of patients that are no CSV: Parquet, and as tables of text Excel and JSON lines."""
