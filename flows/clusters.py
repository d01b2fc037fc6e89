"""Clusters that train a sweep's batches: Dask and Ray, through Prefect's own task runners."""

from __future__ import annotations

from typing import Any

from tasks.errors import UnavailableError

SECONDS = 15  # to answer


def dask_runner(address: str) -> Any:
    """Prefect's runner on the Dask scheduler at `address`.

    Raises:
        UnavailableError: the extra is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise UnavailableError(_missing("dask", error)) from error
    try:
        with Client(address, timeout=SECONDS) as client:
            if not client.scheduler_info(n_workers=-1)["workers"]:
                raise OSError("it has no workers")
    except (OSError, ValueError, TimeoutError) as error:
        raise UnavailableError(_silent("Dask scheduler", address, "dask scheduler", error)) from error
    return DaskTaskRunner(address=address)


def ray_runner(address: str) -> Any:
    """Prefect's runner on the Ray cluster at `address`.

    Raises:
        UnavailableError: the extra is not installed, or no cluster answers.
    """
    try:
        import ray
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise UnavailableError(_missing("ray", error)) from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        ray.shutdown()
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise UnavailableError(_silent("Ray cluster", address, "ray start --head", error)) from error
    return RayTaskRunner(address=address, init_kwargs={"log_to_driver": False, "logging_level": "ERROR"})


def _missing(extra: str, error: ImportError) -> str:
    return f"--{extra} needs the extra [{extra}] ({error}); install it: pip install -e '.[{extra}]'"


def _silent(what: str, address: str, start: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return f"no {what} with workers answers at {address}: {reason}. Start one (`{start}`), or leave the option away."
