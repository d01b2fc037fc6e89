"""Files of patients that are neither CSV nor Parquet, as tables of text."""
