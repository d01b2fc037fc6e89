"""The words for a failure of the store. They advise only if the cause is certain."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

LONGEST = 1000  # characters: room for MLflow's own remedies; a server's error page is longer
LOGIN = " Expected the name and password of an account that may do this, in MLFLOW_TRACKING_USERNAME and _PASSWORD."
SPACE = " Make room on its disk, then run again."
# What a failure's text contains, in lower case, and the advice. The first that fits is taken.
ADVICE = (
    (("permission_denied", "unauthenticated", "error code 401", "error code 403", "not authenticated"), LOGIN),
    (("attempt to write a readonly database",), " Expected a file and a folder that this user can write."),
    (("database or disk is full", "no space left on device"), SPACE),
    (("database is locked",), " Another program is writing it. Run again when that is done."),
    (("max retries exceeded", "connection refused", "timeout exception", "could not connect to server"),
     " Expected a server that answers at the address in MLFLOW_TRACKING_URI."),
)  # fmt: skip


def in_words(error: BaseException) -> str:
    """What the error says, in one line that ends in a full stop."""
    text = str(error).strip() or type(error).__name__
    database = isinstance(error, SQLAlchemyError) or isinstance(error.__cause__, SQLAlchemyError)
    text = text.splitlines()[0] if database else " ".join(text.split())  # SQL and its parameters follow the first line
    return f"{text.rstrip('.')}." if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def advice(error: BaseException) -> str:
    """What to do, with a space before it; empty if the failure itself says it, or nothing is certain."""
    code = error.error_code.lower() if isinstance(error, MlflowException) else ""
    text = f"{code} {error}".lower()
    return next((words for signs, words in ADVICE if any(sign in text for sign in signs)), "")
