"""Patients that are not in a file of this machine: on the web, in an object store, in a database."""
