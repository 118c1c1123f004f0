"""Notifications and mails about the weather: what is expected and when, as its reader reads it."""

import orjson
import pytest
from redis import Redis

from core.config import Settings
from core.policy import Actor
from core.services import accounts, groups, mail, notifications
from core.services.weather_texts import weather_in_words
from tests.builders import create_group
from tests.core.test_mail import configured
from tests.doubles.smtp import MailServer
from tests.forecasts import BAD, HOUR, TOMORROW, arrive, create_outdoor_task, create_place, forecast
from tests.job_context import job_context

pytestmark = pytest.mark.usefixtures("database")

WARNINGS = {
    "en": "Bad weather is expected for the task “Mow”: 2.5 mm of rain ({}3:00 PM), gusts of 63 km/h ({}2:00 PM).",
    "de": "Für die Aufgabe „Mow“ wird schlechtes Wetter erwartet: 2,5 mm Regen ({}15:00), Böen mit 63 km/h ({}14:00).",
    "es": "Se espera mal tiempo para la tarea «Mow»: 2,5 mm de lluvia ({}15:00), rachas de 63 km/h ({}14:00).",
    "fr": "Du mauvais temps est prévu pour la tâche « Mow » : 2,5 mm de pluie ({}15:00), rafales de 63 km/h ({}14:00).",
    "ru": "Для задачи «Mow» ожидается плохая погода: 2,5 мм осадков ({}15:00), порывы ветра 63 км/ч ({}14:00).",
}
DAYS = {
    "en": "Sat, May 2, ",
    "de": "Sa., 2. Mai, ",
    "es": "sáb, 2 may, ",
    "fr": "sam. 2 mai, ",
    "ru": "\u0441\u0431, 2 мая, ",
}


@pytest.mark.parametrize("language", WARNINGS)
def test_a_warning_says_what_is_expected_and_when(language: str) -> None:
    reasons = [
        {"limit": "max_rain_mm", "allowed": 1.0, "expected": 2.5, "at": "2026-05-02T13:00:00+00:00"},
        {"limit": "max_gusts", "allowed": 50.0, "expected": 63.0, "at": "2026-05-02T12:00:00+00:00"},
    ]
    details = {"title": "Mow", "actor": None, "weather": {"reasons": reasons, "timezone": "Europe/Berlin"}}

    day = DAYS[language]
    text = notifications.described({"kind": "weather_warned", "details": details}, language)["text"]

    assert text.replace("\u202f", " ").replace("\xa0", " ") == WARNINGS[language].format(day, day)


def test_a_chance_of_rain_has_no_article_that_depends_on_the_number() -> None:
    reason = {"limit": "max_rain_probability", "allowed": 40, "expected": 85, "at": "2026-05-02T13:00:00+00:00"}

    words = weather_in_words([reason], "UTC", "en")

    assert words == "85 % chance of rain (Sat, May 2, 1:00\u202fPM)"


@pytest.mark.parametrize(("unwanted", "expected"), [((), 1), (("weather_warned",), 0)], ids=["wanted", "unwanted"])
def test_a_mail_is_in_the_language_and_zone_of_its_reader_and_names_the_provider(
    unwanted: tuple[str, ...], expected: int, settings: Settings, redis: Redis, unused_tcp_port: int, alice: Actor
) -> None:
    place_id = create_place()
    notifications.change_mail_preferences(alice.user_id, dict.fromkeys(unwanted, False))
    accounts.update_profile(alice, {"locale": "de", "timezone": "Asia/Tokyo"}, is_confirmed=False)
    create_outdoor_task(alice, place_id, title="Mow https://evil.example", due_at=TOMORROW)
    arrive(place_id, forecast(BAD))

    with MailServer(unused_tcp_port) as server:
        mailing = job_context(configured(settings, server.port), redis)
        mail.send_next(mailing)
        mail.send_next(mailing)

    assert len(server.mails) == expected
    for sent in server.mails:
        body = sent.get_content()
        hour = (TOMORROW - HOUR + 9 * HOUR).strftime("%H:%M")
        assert sent["Subject"].startswith("Für die Aufgabe „Mow https[:]//evil[.]example“ wird schlechtes Wetter")
        assert "Böen mit 63 km/h" in body
        assert f"{hour})" in body
        assert "Weather data by Open-Meteo.com (CC BY 4.0)" in body


def test_a_reader_who_lost_access_sees_no_weather(alice: Actor, bob: Actor, ada: Actor) -> None:
    place_id = create_place()
    group_id = create_group(ada, members=(alice, bob))
    create_outdoor_task(alice, place_id, group_id=group_id)
    arrive(place_id, forecast(BAD))
    groups.remove_member(ada, group_id, bob.user_id)

    page = notifications.list_notifications(bob, unread=True, skip=0, limit=1)
    (item,) = orjson.loads(notifications.in_language(page, "en").items)

    assert (item["details"]["weather"], item["text"]) == (None, "This is about a task that you can no longer see.")
