"""Accounts on an MLflow server with a login: one for the worker and one for the API, neither an administrator.

    python -m heart_disease.registry.accounts    # as administrator: MLFLOW_TRACKING_USERNAME and _PASSWORD

The worker may change every experiment and model, whoever made it, but cannot manage accounts. The API has no grant:
with ``default_permission = READ`` it reads everything and changes nothing. Running this again resets the passwords.
"""

from __future__ import annotations

import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from heart_disease.processes.told import told
from heart_disease.registry.access.store import is_missing, reachable, uri

ROLE, WORKSPACE = "heart-worker", "default"
PASSWORDS = {"worker": "MLFLOW_WORKER_PASSWORD", "api": "MLFLOW_API_PASSWORD"}
GRANTS = {"experiment": "MANAGE", "registered_model": "MANAGE"}


@reachable()
def make_accounts() -> None:
    """Create both accounts or correct them, with the passwords from the environment.

    Raises:
        UnavailableError: the server does not answer, has no login, or the caller is not an administrator.
    """
    client = AuthServiceClient(uri())
    for user, variable in PASSWORDS.items():
        try:
            client.get_user(user)
        except MlflowException as error:
            if not is_missing(error):
                raise
            client.create_user(user, os.environ[variable])
        else:
            client.update_user_password(user, os.environ[variable])
    if ROLE not in [role.name for role in client.list_roles(WORKSPACE)]:
        client.create_role(WORKSPACE, ROLE, "changes every experiment and model")
    role = next(role for role in client.list_roles(WORKSPACE) if role.name == ROLE)
    granted = {grant.resource_type for grant in client.list_role_permissions(role.id)}
    for kind in GRANTS.keys() - granted:
        client.add_role_permission(role.id, kind, "*", GRANTS[kind])
    if ROLE not in [held.name for held in client.list_user_roles("worker")]:
        client.assign_role("worker", role.id)


if __name__ == "__main__":
    sys.exit(told(make_accounts))
