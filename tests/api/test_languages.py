"""Problems are in the language of the request header, or else in the language of the profile."""

from typing import Any

import pytest

from core.messages import LANGUAGES, msg, translate
from core.policy import Actor
from tests.api.callers import Caller, assert_problem

NOWHERE = "/api/v1/tasks/4611686018427387904"
NO_SUCH_TASK = msg("There is no such task.")


def problem(caller: Caller, language: str | None = None) -> dict[str, Any]:
    headers = {} if language is None else {"Accept-Language": language}
    response = caller.get(NOWHERE, headers=headers)
    found = assert_problem(response, 404, "task_not_found")
    assert "Accept-Language" in response.headers["Vary"]
    return found | {"language": response.headers["Content-Language"]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_accept_language_selects_the_language(language: str, as_alice: Caller) -> None:
    found = problem(as_alice, f"pt, {language};q=0.8")

    assert (found["language"], found["detail"]) == (language, translate(NO_SUCH_TASK, language))
    assert found["title"] == translate(msg("Not Found"), language)


def test_without_accept_language_the_profile_selects_the_language(as_alice: Caller) -> None:
    assert problem(as_alice)["language"] == "en"
    as_alice.patch("/api/v1/auth/me", json={"locale": "ru"})

    assert problem(as_alice)["detail"] == translate(NO_SUCH_TASK, "ru")
    assert problem(as_alice, "de")["language"] == "de"


def test_validation_messages_are_translated(as_alice: Caller) -> None:
    body = {"title": "", "status": "burnt", "due_at": "tomorrow", "assignee_id": -1, "surprise": 1}

    response = as_alice.post("/api/v1/tasks", json=body, headers={"Accept-Language": "es"})

    errors = {error["field"]: error["message"] for error in assert_problem(response, 422, "invalid")["errors"]}
    english = {error["field"]: error["message"] for error in as_alice.post("/api/v1/tasks", json=body).json()["errors"]}
    assert errors.keys() == english.keys() == body.keys()
    assert [field for field in errors if errors[field] == english[field]] == []
    assert errors["surprise"] == translate(msg("is not known here"), "es")


@pytest.mark.parametrize("header", ["*", "x" * 4000, ";=,", "zh-Hant-TW", "de;q=nan"])
def test_an_unusual_header_falls_back_to_english(header: str, as_alice: Caller) -> None:
    assert problem(as_alice, header)["language"] == "en"


def test_notifications_are_in_the_language_of_the_reader(as_alice: Caller, as_bob: Caller, bob: Actor) -> None:
    as_alice.post("/api/v1/tasks", json={"title": "x", "assignee_id": bob.user_id})

    response = as_bob.get("/api/v1/notifications", headers={"Accept-Language": "fr"})

    text = msg("{actor} gave you the task “{title}”.", actor="Alice", title="x")
    assert response.json()["items"][0]["text"] == translate(text, "fr")
    assert response.headers["Content-Language"] == "fr"
