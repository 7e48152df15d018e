"""Reports of what MLServer's codecs make of a table, tried here.

SeldonIO/MLServer 1625 and 1751: columns are [n, 1], which a model of columns [n] refuses. What
pydantic writes of such a request has null where there is nothing.
"""

import pytest

LABELS = [1, 1, 1, 1, 2, 0, 0, 0, 0]


@pytest.mark.timeout(400)
def test_1625_1751_tables_as_the_codecs_make_them(by_client, mlserver_python):
    """Tables, texts and arrays of integers are taken as they are, and answers are read back."""
    found = by_client(mlserver_python, "by_mlserver.py")

    for name in ("car-evaluation", "strings"):
        assert found[name]["predictions"] == [1, 0]
        assert found[name]["labels"] == ["acc", "unacc"]
    assert found["iris"]["labels"] == ["setosa", "versicolor"]
    for name in ("points", "integers"):
        assert found[name]["labels"] == LABELS
