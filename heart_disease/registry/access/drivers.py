"""Errors of the packages that MLflow needs for an artifact store or a database, and does not install by itself."""

from __future__ import annotations

# The package to install, for the first part of a module's name.
PACKAGES = {
    "azure": "azure-storage-blob azure-identity",
    "boto3": "boto3",
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "MySQLdb": "mysqlclient",
    "paramiko": "paramiko pysftp",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymssql": "pymssql",
    "pymysql": "pymysql",
    "pyodbc": "pyodbc",
    "pysftp": "pysftp",
    "s3transfer": "boto3",
}


def package(error: BaseException) -> str:
    """The package that is missing, or that raised `error`; empty if the error comes from elsewhere."""
    module = error.name or "" if isinstance(error, ImportError) else type(error).__module__
    return PACKAGES.get(module.partition(".")[0], "")


def advice(error: BaseException, needed: str) -> str:
    """What to do about an error for which `package` gave the package `needed`."""
    if isinstance(error, ImportError):
        return f"Expected the package that it needs, in this environment: pip install {needed}"
    return "Expected an address and credentials with which it can be used."
