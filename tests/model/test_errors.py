"""Passwords and tokens in addresses are hidden in every error's text."""

from __future__ import annotations

import pytest

from heart_disease.model.errors import UnavailableError, hide


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://user:s3cr3t@host:1/api, and", "at http://user:***@host:1/api, and"),
        ("http://user:s3@cr3t@host", "http://user:***@host"),
        ("http://:s3cr3t@host/x:y@z", "http://:***@host/x:y@z"),
        ("http://user:12@host", "http://user:***@host"),
        ("postgresql://user:s3/cr3t@host/db", "postgresql://user:***@host/db"),
        ("https://s3cr3t@host/api", "https://***@host/api"),
        ("https://host/hook?token=s3cr3t&run=1", "https://host/hook?token=***&run=1"),
        ("s3://bucket?X-Amz-Signature=s3cr3t'", "s3://bucket?X-Amz-Signature=***'"),
        ("redis://u:s3cr3t@a:1 and http://v:s3cr3t@b:2", "redis://u:***@a:1 and http://v:***@b:2"),
    ],
)
def test_a_secret_in_an_address_is_hidden(text: str, shown: str) -> None:
    assert hide(text) == shown
    assert str(UnavailableError(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/#/experiments/1?workflowType=machine_learning",
        "http://127.0.0.1:4200/api, mail to a@b.example",
        "sqlite:////a/b:c@d.db",
        "postgresql://user@host/db",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert hide(text) == text
