import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestration.asking import ask, describe_error
from tests.vision.base.servers import serving


def test_an_answer_of_a_busy_server_is_said_in_few_words() -> None:
    with serving() as site, temporary_settings({PREFECT_API_URL: f"{site.url}/api"}):
        site.statuses = [503]
        with ask() as client, pytest.raises(httpx.HTTPStatusError) as caught:
            client.hello()
    assert describe_error(caught.value) == "it answered 503 Service Unavailable"
