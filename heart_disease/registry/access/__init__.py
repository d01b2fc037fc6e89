"""How the MLflow store is reached: its address, its files, and what an error of it means."""
