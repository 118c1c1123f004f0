"""The end of a web process whose parts fail while they stop."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from api.app import Background


def test_the_last_log_lines_are_written_although_a_connection_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Mock()
    monkeypatch.setattr("api.app.logs.finish", finish)
    monkeypatch.setattr("api.app.signal_sender", Mock())
    parts: dict[str, Any] = {
        "services": SimpleNamespace(settings=None, redis=AsyncMock(), bridge=Mock()),
        "relay": AsyncMock(),
        "limits": SimpleNamespace(close=AsyncMock(side_effect=ConnectionResetError)),
    }

    with pytest.raises(ConnectionResetError):
        asyncio.run(Background(**parts).process_shutdown({}, {}))

    finish.assert_called_once()
