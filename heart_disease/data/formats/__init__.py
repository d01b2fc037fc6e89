"""The kinds of files that patients come in: CSV in any form, Parquet, Excel, JSON lines."""
