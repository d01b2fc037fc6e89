"""The services of docker-compose.yml as processes on this machine, because CI has no container engine.

Each service starts with the file's command and environment, in the file's order, and counts as healthy when the
file's own check says so. Whatever is private to a container is mapped: a service's `host:port` to a free port on
loopback; volumes and tmpfs to folders of the stack. The start of postgres is its image's, so its documented steps are
repeated here: initdb, then the server. If the tests run as root on Linux, a service also has no capabilities, cannot
gain any, and can write only to its volumes and tmpfs, as the file says (namespaces.7). Not covered: the image's build,
its user, which services the networks connect, and restarts.

    with Stack.start(folder, ["postgres", "mlflow", "prefect"]) as stack:
        requests.get(stack.url("mlflow"), auth=("admin", stack.secrets["MLFLOW_ADMIN_PASSWORD"]))
        stack.kill("mlflow")
        stack.start_service("mlflow")
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from heart_disease.processes.loopback import free_port
from tests.harness.command import ROOT
from tests.harness.servers.compose_file import FILE, interpolated, variables
from tests.harness.waiting import PATIENCE

# Makes the root folder read-only, except for the given folders, and runs the command.
READ_ONLY = 'while [ "$1" != -- ]; do mount --bind "$1" "$1"; shift; done; shift; mount -o remount,bind,ro /; exec "$@"'
# The environment variable that marks every process of a stack, so that none is overlooked.
MARK = "HEART_TEST_STACK"


def postgres_programs() -> Path | None:
    """The folder with the programs of this machine's newest PostgreSQL; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@cache
def can_confine() -> bool:
    """Whether this user may create mount namespaces."""
    with suppress(OSError):
        return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    return False


class Stack:
    """The started services. `processes`: by name; `logs`: the folder with one log file per service."""

    def __init__(self, folder: Path, file: Path = FILE, **given: str) -> None:
        text = file.read_text()
        # Characters that an address would have to escape, because nothing here may put a secret into an address.
        self.secrets = {name: f"{secrets.token_hex(12)}@:/?#%&" for name in sorted(variables(text))}
        self.secrets["COMPOSE_PROFILES"] = given.pop("COMPOSE_PROFILES", "cpu")
        self.file = interpolated(yaml.safe_load(text), {**self.secrets, **given})
        self.profile = self.secrets.pop("COMPOSE_PROFILES")
        self.services: dict[str, dict[str, Any]] = {
            name: service
            for name, service in self.file["services"].items()
            if self.profile in service.get("profiles", [self.profile])
        }
        self.folder, self.logs, self.id = folder, folder / "logs", secrets.token_hex(8)
        # PostgreSQL's user cannot enter pytest's folders: every new pytest of this user closes them again.
        self._open = Path(tempfile.mkdtemp(prefix="heart-stack-"))
        self._open.chmod(0o755)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.added = {"worker": {"PREFECT_WORKER_QUERY_SECONDS": "2"}}  # Per service: variables that tests add.
        self._files: list[IO[bytes]] = []
        # Per service: each port inside its container -> the port here.
        self.ports = {
            name: {inside: free_port() for inside in self._container_ports(service)}
            for name, service in self.services.items()
        }
        self.logs.mkdir(parents=True, exist_ok=True)

    @classmethod
    @contextmanager
    def start(cls, folder: Path, services: Sequence[str], **given: str) -> Iterator[Stack]:
        """Start the named services and what they depend on, yield when they are healthy, and end them afterwards.

        given: variables of the file, such as HEART_CRON. `api` is healthy only if there is a champion.
        """
        stack = cls(folder, FILE, **given)
        try:
            for name in stack.in_order(services):
                stack.start_service(name)
            yield stack
        finally:
            stack.close()

    @staticmethod
    def _container_ports(service: dict[str, Any]) -> list[int]:
        published = [int(port.rsplit(":", 1)[1]) for port in service.get("ports", [])]
        return published + [int(port) for port in service.get("expose", [])]

    def in_order(self, names: Sequence[str]) -> list[str]:
        """These services and what they depend on, in the order in which they start."""
        order: list[str] = []
        for name in names:
            needed = self.in_order(list(self.services[name].get("depends_on", {})))
            order += [one for one in [*needed, name] if one not in order]
        return order

    # Where things are

    def port(self, name: str) -> int:
        """The port of a service on this machine, if it has one."""
        return next(iter(self.ports[name].values()))

    def url(self, name: str) -> str:
        """The address of a service on this machine."""
        return f"http://127.0.0.1:{self.port(name)}"

    def log(self, name: str) -> str:
        """Everything a service wrote, over all its starts."""
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The first process of a service, the one that Compose would signal."""
        return self.processes[name]

    def environment_of(self, name: str) -> dict[str, str]:
        """The variables that the file sets for a service, mapped to this machine."""
        found = self.services[name].get("environment", {})
        return {key: self.mapped(str(value), name) for key, value in found.items()}

    @property
    def client_environment(self) -> dict[str, str]:
        """The variables that let a program on this machine use the servers, as the file's worker does."""
        worker = self.environment_of("worker")
        names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
        return {key: value for key, value in worker.items() if key in names or key.startswith("MLFLOW_")}

    def mapped(self, text: str, name: str) -> str:
        """A text of the service `name`, with its addresses and paths replaced by those of this machine."""
        rules = {r"(?<![\d.])0\.0\.0\.0(?![\d.])": "127.0.0.1"}
        for host, ports in self.ports.items():
            rules |= {rf"(?<![\w.-]){host}:{inside}(?!\d)": f"127.0.0.1:{here}" for inside, here in ports.items()}
        rules |= {rf"(?:^|(?<=:)|(?<=port[ =])){inside}(?!\d)": str(here) for inside, here in self.ports[name].items()}
        rules |= {rf"(?<![\w.-]){re.escape(path)}(?![\w.-])": str(here) for path, here in self._folders(name).items()}
        either = re.compile("|".join(f"({rule})" for rule in rules))
        answers = list(rules.values())
        return either.sub(lambda found: answers[(found.lastindex or 0) - 1], text)

    def _folders(self, name: str) -> dict[str, Path]:
        """Each path of the container that does not come from the image -> its folder or file here."""
        service = self.services[name]
        folder = self._open if self._user(service) else self.folder
        own = folder / name
        found = {path: own / path.strip("/").replace("/", "_") for path in self._tmpfs(service)}
        for volume in service.get("volumes", []):
            source, path = volume.split(":")[:2]
            found[path] = folder / "volumes" / source
        return found

    @staticmethod
    def _tmpfs(service: dict[str, Any]) -> list[str]:
        """The paths of its tmpfs, without their options."""
        return [one.split(":")[0] for one in service.get("tmpfs", [])]

    # Starting and ending

    def start_service(self, name: str) -> None:
        """Start one service, and wait until it is healthy or, without a health check, has ended with code 0."""
        if name in self.processes and self.processes[name].poll() is None:
            raise ValueError(f"{name} is running as process {self.processes[name].pid}")
        service = self.services[name]
        self._prepare(name)
        log = (self.logs / f"{name}.log").open("ab")
        self._files.append(log)
        if shlex.split(service["command"])[0] == "postgres":
            command = self._postgres(name, log)
        else:
            command = [self.mapped(part, name) for part in shlex.split(service["command"])]
        self.processes[name] = subprocess.Popen(
            # If a shell starts the tests with &, children would ignore SIGINT, which Prefect's worker sends.
            [*self._confined(name), "env", "--default-signal=INT", *command],
            cwd=ROOT, env=self._environment(name), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True, **({} if can_confine() else self._user(service)),
        )  # fmt: skip
        if "healthcheck" in service:
            self.wait_healthy(name)
        elif code := self.processes[name].wait(timeout=PATIENCE):
            raise RuntimeError(f"{name} ended with code {code}:\n{self.log(name)[-3000:]}")

    def healthy(self, name: str) -> bool:
        """Whether the file's own health check passes."""
        kind, *command = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD", "the harness knows no other form"
        done = subprocess.run(
            [self.mapped(part, name) for part in command], env=self._environment(name), capture_output=True, check=False
        )
        return done.returncode == 0

    def wait_healthy(self, name: str, seconds: float = PATIENCE) -> None:
        """Wait until the service is healthy.

        Raises:
            RuntimeError: it ended instead.
            TimeoutError: it did not become healthy.
        """
        deadline = time.monotonic() + seconds
        while not self.healthy(name):
            code = self.processes[name].poll()
            if code is not None:
                raise RuntimeError(f"{name} ended with code {code}:\n{self.log(name)[-3000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not healthy after {seconds} s:\n{self.log(name)[-3000:]}")
            time.sleep(2)  # each check starts a process

    def members(self, name: str) -> list[psutil.Process]:
        """All processes of a service, including those that left its session or lost their parent."""
        found: dict[int, psutil.Process] = {}
        with suppress(psutil.NoSuchProcess, KeyError):
            first = psutil.Process(self.processes[name].pid)
            found = {process.pid: process for process in [first, *first.children(recursive=True)]}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == f"{self.id}/{name}":
                    found[process.pid] = process
        return [process for process in found.values() if self._lives(process)]

    @staticmethod
    def _lives(process: psutil.Process) -> bool:
        """Whether the process still runs; a zombie does not."""
        with suppress(psutil.Error):
            return process.status() != psutil.STATUS_ZOMBIE
        return False

    def kill(self, name: str) -> None:
        """Send SIGKILL to all processes of the service, as if its container were killed."""
        first, members = self.processes[name], self.members(name)  # another thread may start it again meanwhile
        for process in members:
            with suppress(psutil.Error):
                process.kill()
        first.wait()

    def grace(self, name: str) -> float:
        """The seconds that `docker compose stop` waits for the service."""
        number, unit = re.fullmatch(r"(\d+)([sm])", self.services[name]["stop_grace_period"]).groups()  # type: ignore[union-attr]
        return int(number) * {"s": 1, "m": 60}[unit]

    def stop(self, name: str) -> int:
        """Do what `docker compose stop` does: send the service's stop signal, and return its exit code.

        Raises:
            TimeoutError: it still runs at the time when its container would be killed.
        """
        process, seconds = self.processes[name], self.grace(name)
        process.send_signal(getattr(signal, self.services[name].get("stop_signal", "SIGTERM")))
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{name} has not stopped after {seconds} s:\n{self.log(name)[-3000:]}") from None

    def close(self) -> None:
        """End all services, the last one first; kill whatever does not end by itself."""
        for name in reversed(self.processes):
            if self.processes[name].poll() is None:
                with suppress(TimeoutError):
                    self.stop(name)
            self.kill(name)
        for log in self._files:
            log.close()
        shutil.rmtree(self._open)

    def _environment(self, name: str) -> dict[str, str]:
        """The service's variables: none of the tests' own, except the path to the same programs."""
        programs = [Path(sys.executable).parent, postgres_programs(), *os.environ["PATH"].split(os.pathsep)]
        home = self._folders(name).get("/home/heart", self.folder / name)
        return {
            "PATH": os.pathsep.join(str(path) for path in programs if path),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(self._folders(name).get("/tmp", self.folder / name)),
            **self.environment_of(name),
            **self.added.get(name, {}),
            MARK: f"{self.id}/{name}",
        }

    def _confined(self, name: str) -> list[str]:
        """A prefix that puts a command under the restrictions that the file puts on a service."""
        if not can_confine():
            return []
        volumes = [volume.split(":") for volume in self.services[name].get("volumes", [])]
        only_read = [path for _, path, *mode in volumes if mode == ["ro"]]
        writable = [str(here) for path, here in self._folders(name).items() if path not in only_read]
        user = self._user(self.services[name])
        become = [f"--reuid={user['user']}", f"--regid={user['group']}", "--clear-groups"] if user else []
        drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", *become]
        return ["unshare", "--mount", "sh", "-ec", READ_ONLY, "sh", *writable, "--", *drop]

    def _prepare(self, name: str) -> None:
        service = self.services[name]
        for here in self._folders(name).values():
            here.mkdir(parents=True, exist_ok=True)
            if user := self._user(service):
                shutil.chown(here, user["user"])

    # What PostgreSQL's image does

    def _user(self, service: dict[str, Any]) -> dict[str, Any]:
        """The user to run as: PostgreSQL refuses to run as root."""
        if str(service.get("image", "")).startswith("postgres:") and os.getuid() == 0:
            return {"user": "postgres", "group": "postgres", "extra_groups": []}
        return {}

    def _postgres(self, name: str, log: IO[bytes]) -> list[str]:
        """The server's command; if the volume is empty, initdb runs first."""
        service, folders, environment = self.services[name], self._folders(name), self._environment(name)
        options = shlex.split(service["command"])[1:]
        data, sockets = folders["/var/lib/postgresql/data"], folders["/run/postgresql"]
        programs = postgres_programs()
        assert programs, "PostgreSQL is not installed"

        def run(*command: str, **more: Any) -> None:
            subprocess.run(
                command, env=environment, stdout=log, stderr=log, check=True, cwd=data, **self._user(service), **more
            )

        if not (data / "PG_VERSION").exists():
            password = folders["/tmp"] / "password"
            password.write_text(environment["POSTGRES_PASSWORD"])
            run(
                str(programs / "initdb"), "--username=postgres", f"--pwfile={password}",
                "--auth-local=trust", "--auth-host=scram-sha-256", "-D", str(data),
            )  # fmt: skip
            password.unlink()
        server = [str(programs / "postgres"), "-D", str(data), "-k", str(sockets)]
        return [*server, "-h", "127.0.0.1", "-p", str(self.port(name)), *options]
