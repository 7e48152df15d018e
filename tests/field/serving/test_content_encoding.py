"""Names of content codings have no case: https://github.com/nodejs/undici/pull/2037.

Some libraries name the coding of a plain body: https://github.com/influxdata/influxdb_iox/pull/7550.
"""

import pytest
from service_conformance.subject import JSON


@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY", ""])
def test_a_plain_body_may_say_so(client, model, coding):
    """`Identity` was 415."""
    headers = [*JSON.items(), ("Content-Encoding", coding)]
    answer = client.post(model.path, content=model.body, headers=headers)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("coding", ["br", "identity, compress", "identityx"])
def test_another_coding_is_refused(client, model, coding):
    """A body in a coding that is not known is 415."""
    headers = [*JSON.items(), ("Content-Encoding", coding)]
    answer = client.post(model.path, content=model.body, headers=headers)

    assert answer.status_code == 415
