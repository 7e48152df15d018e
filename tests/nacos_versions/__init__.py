"""The table of features by versions of Nacos, written from the outcome of the tests.

A test takes part by a mark that names what it tries:

    @pytest.mark.feature("documents are followed")
    @pytest.mark.feature("compare-and-set", since="2.3.2")

The second mark says that servers before 2.3.2 cannot do it; there the test shows what a client does
instead. `before` is the opposite of `since`.

A test counts for the version that is a value of one of its parameters, the first if there are two;
without such a parameter it counts for the real server that it ran on, if it is marked `nacos`, and
else for none. `make test-nacos-versions` runs them all and writes docs/nacos-versions.md.
"""
