"""One transaction per request or step: only ``store/session.py`` commits."""

import ast

from tests.architecture.sources import ROOT, files_where

ALLOWED = {"store/session.py"}


def commits(source: str) -> list[int]:
    """Lines that call or hand on a ``commit``."""
    tree = ast.parse(source)
    return sorted(
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "commit"
    )


def test_only_the_session_commits():
    assert files_where(commits) == ALLOWED


def test_the_session_commits_in_one_place():
    assert len(commits((ROOT / "store/session.py").read_text(encoding="utf-8"))) == 1


def test_a_commit_would_be_found_however_it_is_written():
    assert commits("session.commit()\nend = connection.commit\nself._db.session.commit()") == [
        1,
        2,
        3,
    ]
