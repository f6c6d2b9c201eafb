"""What a remote does wrong is said in one line with the way out, and waited for where it passes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from flows.engine import patience
from flows.engine.patience import AwayError, insist
from flows.placing.objects import RefusedError, Store, open_store
from tests.flows.placing.servers import REMOTE, S3, SSH, Remote, serve
from tests.flows.toy import dvc, wait_until
from vision.base.errors import PipelineError

OUT = "report.txt"
on_s3 = pytest.mark.parametrize("server", [S3], ids=["s3"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=[S3, SSH], ids=lambda kind: kind.kind)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("remote") / request.param.kind
    with serve(request.param(folder)) as started:
        yield started


@pytest.fixture
def project(server: Remote, toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project with all stages run, and a remote that does not know it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # the machine of a cloud has some
    monkeypatch.setenv("HOME", str(toy))  # keys in ~/.ssh
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(patience, "RETRY_S", 0.1)
    server.configure(toy)
    return toy


def find_out(store: Store) -> str:
    stage = next(each for each in store.repo.index.stages if OUT in str(each.outs))
    return str(stage.outs[0].hash_info.value)


def push(project: Path) -> int:
    with open_store(project) as store:
        return store.push([find_out(store)])


def pull(project: Path) -> int:
    with open_store(project) as store:
        Path(store.cache.oid_to_path(find_out(store))).unlink(missing_ok=True)
        return store.pull([find_out(store)])


def test_without_credentials_it_is_said_how_to_give_them(server: Remote, project: Path) -> None:
    said = {
        "s3": "asks for credentials, and none are set: .* access_key_id ID",
        "ssh": r"refuses \((PermissionDenied|ProtocolError): .*\): .* keyfile PATH, or ssh-add",
    }
    with pytest.raises(PipelineError, match=said[server.kind]) as caught:
        push(project)
    assert not isinstance(caught.value, AwayError)
    assert "\n" not in str(caught.value)


def test_what_was_never_sent_is_missing_and_not_away(server: Remote, project: Path) -> None:
    server.admit(project)
    with pytest.raises(RefusedError, match=r"does not give \w+: it is not there"):
        pull(project)


def test_a_remote_that_comes_back_is_waited_for(server: Remote, project: Path) -> None:
    """A connection that broke off stays broken: the next try begins another."""
    server.admit(project)
    told: list[str] = []
    with open_store(project) as store, ThreadPoolExecutor() as pool:
        digest = find_out(store)
        size = store.count_missing([digest])
        server.kill()
        pushing = pool.submit(insist, partial(store.push, [digest]), Event(), told.append)
        wait_until(lambda: told)
        server.start()
        assert pushing.result() == size
        assert store.count_missing([digest]) == 0
    assert 1 <= len(told) <= 3
    assert all(f"the remote {server.kind}://" in line and "trying again" in line for line in told)


@on_s3
@pytest.mark.parametrize("move", [push, pull])
def test_a_bucket_that_is_missing_is_named(server: Remote, project: Path, move: object) -> None:
    server.admit(project)
    dvc(project, "remote", "modify", REMOTE, "url", "s3://bukket/store")
    with pytest.raises(PipelineError, match="s3://bukket/store: there is no such bucket: make it"):
        move(project)  # type: ignore[operator]


@on_s3
def test_a_key_that_the_server_does_not_know_is_refused(server: Remote, project: Path) -> None:
    server.admit(project)
    dvc(project, "remote", "modify", "--local", REMOTE, "access_key_id", "unknown")
    with pytest.raises(
        PipelineError, match=r"refuses .*(There is no such key|Forbidden).*secret_access_key"
    ):
        push(project)
