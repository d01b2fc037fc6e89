"""What docker-compose.yml promises, as read from the file; test_servers.py starts its services."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.command import ROOT
from tests.harness.servers.compose import Stack
from tests.harness.servers.compose_file import FILE, interpolated, variables

TEXT = FILE.read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
ONE_SHOTS = {"databases", "deploy"}
UNCHECKED = {*ONE_SHOTS, "cleaner"}  # it works once a day; what it did is in its log
PUBLISHED = {"mlflow": "5000", "prefect": "4200", "api": "8000"}

every_service = pytest.mark.parametrize("name", SERVICES)


# The file


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_it_is_valid_with_all_variables_set(profile: str, tmp_path: Path) -> None:
    given = dict.fromkeys(variables(TEXT), "x") | {"COMPOSE_PROFILES": profile}
    file = tmp_path / "docker-compose.yml"
    for content in (TEXT, yaml.safe_dump(interpolated(yaml.safe_load(TEXT), given))):
        file.write_text(content)
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    wanted = variables(TEXT)
    assert len(wanted) > 5
    for name in wanted:
        given = dict.fromkeys(wanted - {name}, "x")
        with pytest.raises(ValueError, match=f"{name} is not set: set it in .env"):
            interpolated(yaml.safe_load(TEXT), given)
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING")
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            assert not secret.search(key) or re.fullmatch(r"(admin:)?\$\{\w+:\?set it in \.env\}", value), (name, key)


@every_service
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in ("root", "0", "0:0")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}
    assert all(not volume.startswith((".", "/")) for volume in service.get("volumes", []))  # no folders of the host


@every_service
def test_a_service_is_restarted_and_its_logs_do_not_fill_the_disk(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("on-failure:3" if name in ONE_SHOTS else "unless-stopped")
    assert ("healthcheck" in service) == (name not in UNCHECKED)
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_only_the_pages_and_the_api_are_published_on_loopback(name: str) -> None:
    port = PUBLISHED.get(name)
    expected = [f"${{HEART_BIND:-127.0.0.1}}:{port}:{port}"] if port else []
    assert SERVICES[name].get("ports", []) == expected


def test_only_the_two_servers_and_what_looks_after_their_databases_reach_postgresql() -> None:
    assert {name for name, service in SERVICES.items() if "database" in service["networks"]} == {
        "postgres", "databases", "mlflow", "prefect", "cleaner",
    }  # fmt: skip
    assert yaml.safe_load(TEXT)["networks"]["database"] == {"internal": True}


@every_service
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+|heart-disease-pipeline:\d+\.\d+\.\d+(-gpu)?", SERVICES[name]["image"])


def test_one_service_builds_each_image() -> None:
    building = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(building) == sorted({one["image"] for one in SERVICES.values() if "postgres" not in one["image"]})


@every_service
def test_a_run_has_time_to_end_before_its_service_is_killed(name: str, tmp_path: Path) -> None:
    from heart_disease.operations import worker

    with closing(Stack(tmp_path)) as stack:
        if name in stack.services:
            assert stack.grace(name) > worker.RUNS_SECONDS + worker.WORD_SECONDS + 10


def test_the_worker_sees_a_folder_of_the_host_only_if_it_is_named() -> None:
    given = dict.fromkeys(variables(TEXT), "x")
    for folder, mount in (("", "patients"), ("./mine", "./mine")):
        services = interpolated(yaml.safe_load(TEXT), {**given, "HEART_FOLDER": folder})["services"]
        assert f"{mount}:/patients:ro" in services["worker"]["volumes"]


@pytest.mark.parametrize("variable", ["HEART_SOURCE", "HEART_MONITOR"])
@pytest.mark.parametrize("source", ["", "/patients", "postgresql://me:${HEART_SOURCE_PASSWORD}@db/clinic#table=x"])
def test_a_source_reaches_the_deployment_as_it_is(source: str, variable: str) -> None:
    given = {**dict.fromkeys(variables(TEXT), "x"), variable: source}
    services = interpolated(yaml.safe_load(TEXT), given)["services"]
    assert services["deploy"]["environment"][variable] == source
    assert all("postgresql://me" not in volume for volume in services["worker"]["volumes"])


@every_service
def test_only_a_worker_gets_the_passwords_of_sources(name: str) -> None:
    expected = [{"path": "sources.env", "required": False}] if name.startswith("worker") else None
    assert SERVICES[name].get("env_file") == expected


@every_service
def test_a_folder_in_memory_has_an_end(name: str) -> None:
    assert all(re.search(r":size=\d+m\b", one) for one in SERVICES[name]["tmpfs"])


def test_snapshots_of_sources_are_on_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    from heart_disease.data.remote import snapshots

    file = interpolated(yaml.safe_load(TEXT), dict.fromkeys(variables(TEXT), "x"))
    worker = file["services"]["worker"]
    monkeypatch.setenv("XDG_CACHE_HOME", worker["environment"]["XDG_CACHE_HOME"])
    mounts = (volume.split(":") for volume in worker["volumes"])
    [(name, _)] = [mount for mount in mounts if snapshots.cache().is_relative_to(mount[1])]
    assert name in file["volumes"]


def test_only_the_worker_of_the_profile_runs(tmp_path: Path) -> None:
    for profile, expected in (("cpu", "worker"), ("gpu", "worker-gpu")):
        with closing(Stack(tmp_path, COMPOSE_PROFILES=profile)) as stack:
            started = {name for name in stack.services if name.startswith("worker")}
        assert started == {expected}
    devices = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


@pytest.mark.parametrize("name", ["server.lock", "gpu.lock"])
def test_an_image_has_the_tested_versions_and_everything_it_needs(name: str) -> None:
    def versions(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", (ROOT / lock).read_text(), re.MULTILINE))

    tested, image = versions("requirements.lock"), versions(name)
    assert {package: tested.get(package, version) for package, version in image.items()} == image
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    assert {re.match(r"[\w.-]+", one)[0] for one in needed} <= image.keys()  # type: ignore[index]
    assert not image.keys() & {"pytest", "ruff", "mypy", "playwright", "dask", "ray"}


@pytest.mark.parametrize("ignored", [".gitignore", ".dockerignore"])
def test_the_secrets_are_neither_committed_nor_in_the_image(ignored: str) -> None:
    assert {".env", "sources.env"} <= set((ROOT / ignored).read_text().splitlines())


@pytest.mark.parametrize("name", ["deploy", "worker"])
def test_links_lead_to_the_published_pages(name: str) -> None:
    for page, variable in (("mlflow", "HEART_MLFLOW_URL"), ("prefect", "PREFECT_UI_URL")):
        assert SERVICES[name]["environment"][variable] == f"http://${{HEART_HOST:-127.0.0.1}}:{PUBLISHED[page]}"


def test_started_natively_a_port_is_replaced_but_an_equal_number_is_not(tmp_path: Path) -> None:
    with closing(Stack(tmp_path)) as stack:
        [here] = stack.ports["mlflow"].values()
        for text in ("5000", "--port 5000", "--port=5000", "http://localhost:5000/health"):
            assert stack.mapped(text, "mlflow") == text.replace("5000", str(here))
        assert stack.mapped("--limit-max-requests 5000", "mlflow") == "--limit-max-requests 5000"
