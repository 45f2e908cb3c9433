"""Fixtures that several folders share: the real servers."""

pytest_plugins = ["tests.fixtures.command", "tests.fixtures.openbao", "tests.fixtures.zof"]
