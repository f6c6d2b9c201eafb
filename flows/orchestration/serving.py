"""A server, the deployments and a worker on this machine, for as long as the command runs."""

import os
import signal
import time

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestration.asking import naming_server
from flows.orchestration.deployments import POOL, deploy
from flows.orchestration.reach import is_taken, wait_for
from flows.orchestration.server import start
from vision.base.errors import PipelineError

ENDED = "ended: see above"


def serve(port: int, take_over: bool = False) -> None:
    """Run a server on loopback, the deployments and a worker until interrupted.

    Args:
        take_over: also deployments that another folder has in the records of the server.

    Raises:
        PipelineError: the port is taken; the server or the worker ended.
    """
    if is_taken(port):
        raise PipelineError(f"port {port} is taken, by another server maybe: give another --port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    address = f"http://127.0.0.1:{port}"
    server = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    pages = {"PREFECT_SERVER_UI_API_URL": f"{address}/api"}
    processes = [start(*server, **pages, PREFECT_LOGGING_SERVER_LEVEL="WARNING")]
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    try:
        wait_for(f"{address}/api/health", processes[0])
        with temporary_settings({PREFECT_API_URL: f"{address}/api"}), naming_server(ENDED):
            deploy([], take_over)
        processes.append(start("prefect", "worker", "start", "--pool", POOL))
        print(
            f"Prefect: {address} (Ctrl-C ends server and worker). For other terminals:\n"
            f"export PREFECT_API_URL={address}/api",
            flush=True,
        )
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        raise PipelineError(f"the Prefect server or its worker {ENDED}")
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()
