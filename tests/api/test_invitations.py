"""Invitations, and who may register: over HTTP, with mails over SMTP."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from api.app import create_app
from core.config import Settings
from core.db import unit_of_work
from core.policy import Actor, Role
from core.security import TokenIssuer
from core.services import groups
from tests.api.callers import Caller, LiveServer, assert_problem, callers_of, invalid_fields
from tests.api.mails import mailing, send_mails
from tests.builders import PASSWORD, create_actor, create_group
from tests.doubles.smtp import MailServer
from tests.sql import execute

INVITATIONS = "/api/v1/invitations"
REGISTER = "/api/v1/auth/register"
CAROL = {"email": "carol@example.com", "password": PASSWORD}
Clients = Callable[[Actor], Caller]


def with_settings(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


@pytest.fixture(scope="module")
def clients(settings: Settings, issuer: TokenIssuer) -> Iterator[Clients]:
    """Clients of a server where an invitation is needed, and no mail is set up."""
    with LiveServer(create_app(with_settings(settings, registration="invite"))) as server:
        yield callers_of(server, issuer)


@pytest.fixture
def anybody(clients: Clients, ada: Actor) -> Caller:
    """Somebody without an account, at that server."""
    return clients(ada).without_token()


@pytest.fixture
def as_ada(clients: Clients, ada: Actor) -> Caller:
    return clients(ada)


def invited(caller: Caller, email: str = CAROL["email"], **fields: Any) -> str:
    """Invite this address and return the token."""
    response = caller.post(INVITATIONS, json={"email": email} | fields)
    assert response.status_code == 201, response.text
    return str(response.json()["token"])


def members_of(group_id: int) -> set[str]:
    rows = execute(
        "SELECT username FROM users JOIN group_members ON user_id = id WHERE group_id = %s", (group_id,)
    ).fetchall()
    return {name for (name,) in rows}


class TestRegistration:
    """Who may register."""

    REGISTRATIONS = (
        (REGISTER, CAROL),
        ("/auth/register", CAROL),
        ("/user", CAROL | {"name": "Carol"}),
        ("/user/", CAROL | {"name": "Carol"}),
    )

    @pytest.mark.parametrize(("path", "account"), REGISTRATIONS)
    def test_where_registration_is_closed_nobody_registers(
        self,
        path: str,
        account: dict[str, str],
        ada: Actor,
        settings: Settings,
        client_with_settings: Callable[[Settings], Clients],
    ) -> None:
        as_ada = client_with_settings(with_settings(settings, registration="closed"))(ada)

        assert_problem(as_ada.post(path, json=account), 403, "registration_closed")
        assert_problem(as_ada.post(path, json=account | {"invitation": "x"}), 403, "registration_closed")
        assert_problem(as_ada.post(INVITATIONS, json={"email": CAROL["email"]}), 403, "registration_closed")

    @pytest.mark.parametrize(("path", "account"), REGISTRATIONS)
    def test_where_an_invitation_is_needed_one_registers_with_it(
        self, path: str, account: dict[str, str], anybody: Caller, as_ada: Caller
    ) -> None:
        assert_problem(anybody.post(path, json=account), 403, "invitation_needed")
        assert_problem(anybody.post(path, json=account | {"invitation": "1.2.3"}), 403, "invitation_invalid")

        response = anybody.post(path, json=account | {"invitation": invited(as_ada)})

        assert (response.status_code, response.json()["email"]) == (201, CAROL["email"])
        assert anybody.post("/auth/login", json=CAROL).status_code == 200

    def test_an_invitation_also_works_where_everybody_may_register(self, caller_for: Clients, ada: Actor) -> None:
        client = caller_for(ada)
        group_id = create_group(ada)

        token = invited(client, group_id=group_id)
        response = client.post(REGISTER, json=CAROL | {"invitation": token})

        assert response.status_code == 201
        assert members_of(group_id) == {"ada", CAROL["email"]}
        again = {"email": "carola@example.com", "password": PASSWORD, "invitation": token}
        assert_problem(client.post(REGISTER, json=again), 403, "invitation_invalid")


class TestUse:
    """An invitation is used once, in time, and for its address."""

    def test_it_is_for_its_address_however_that_is_written(self, anybody: Caller, as_ada: Caller) -> None:
        token = invited(as_ada, email="carol@bücher.example")

        stolen = anybody.post(REGISTER, json=CAROL | {"email": "mallory@example.com", "invitation": token})
        nameless = anybody.post(REGISTER, json={"username": "carol", "password": PASSWORD, "invitation": token})
        own = anybody.post(REGISTER, json=CAROL | {"email": "CAROL@xn--bcher-kva.example", "invitation": token})

        assert_problem(stolen, 403, "invitation_invalid")
        assert_problem(nameless, 403, "invitation_invalid")
        assert own.status_code == 201

    def test_it_is_used_once(self, anybody: Caller, as_ada: Caller) -> None:
        token = invited(as_ada)
        assert anybody.post(REGISTER, json=CAROL | {"invitation": token}).status_code == 201

        assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": token}), 403, "invitation_invalid")

    def test_of_registrations_at_the_same_time_one_succeeds(self, anybody: Caller, as_ada: Caller) -> None:
        account = CAROL | {"invitation": invited(as_ada)}

        with ThreadPoolExecutor(6) as pool:
            # The usernames differ, so that nothing but the invitation makes the others fail.
            bodies = [account | {"username": f"carol{number}"} for number in range(6)]
            statuses = list(pool.map(lambda body: anybody.post(REGISTER, json=body).status_code, bodies))

        assert sorted(statuses) == [201, *[403] * 5]

    def test_a_refused_registration_leaves_it_usable(self, anybody: Caller, as_ada: Caller, alice: Actor) -> None:
        account = CAROL | {"invitation": invited(as_ada)}

        assert_problem(anybody.post(REGISTER, json=account | {"username": "alice"}), 400, "account_taken")
        assert invalid_fields(anybody.post(REGISTER, json=account | {"password": "password123"})) == ["password"]

        assert anybody.post(REGISTER, json=account).status_code == 201

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE invitations SET expires_at = now()",
            "DELETE FROM invitations",
            "UPDATE users SET is_active = false WHERE username = 'dora'",
            "UPDATE users SET role = 'user' WHERE username = 'dora'",
        ],
    )
    def test_it_ends_with_its_time_and_with_the_right_to_invite(
        self, change: str, anybody: Caller, clients: Clients
    ) -> None:
        token = invited(clients(create_actor("dora", Role.MANAGER)))
        with unit_of_work():
            execute(change)

        assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": token}), 403, "invitation_invalid")

    def test_a_token_of_another_kind_or_with_another_signature_is_refused(
        self, anybody: Caller, as_ada: Caller
    ) -> None:
        token = invited(as_ada)

        for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), as_ada.token, "é" * 50, "1..", "9" * 400):
            assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": wrong}), 403, "invitation_invalid")


class TestGroups:
    """An invitation into a group."""

    @pytest.fixture
    def dora(self, database: None) -> Actor:
        """A user who manages the group."""
        return create_actor("dora")

    @pytest.fixture
    def group(self, ada: Actor, dora: Actor) -> int:
        return create_group(ada, managers=(dora,))

    def test_whoever_registers_joins_the_group_as_a_member(
        self, anybody: Caller, clients: Clients, dora: Actor, group: int
    ) -> None:
        token = invited(clients(dora), group_id=group)
        anybody.post(REGISTER, json=CAROL | {"invitation": token})

        joined = execute("SELECT is_manager FROM group_members WHERE group_id = %s ORDER BY joined_at", (group,))
        assert members_of(group) == {"ada", "dora", CAROL["email"]}
        assert joined.fetchall()[-1] == (False,)

    def test_nobody_joins_if_the_inviter_no_longer_manages_the_group(
        self, anybody: Caller, clients: Clients, ada: Actor, dora: Actor, group: int
    ) -> None:
        token = invited(clients(dora), group_id=group)
        groups.put_member(ada, group, dora.user_id, is_manager=False)

        assert anybody.post(REGISTER, json=CAROL | {"invitation": token}).status_code == 201
        assert members_of(group) == {"ada", "dora"}

    def test_the_invitation_ends_with_the_group(
        self, anybody: Caller, clients: Clients, ada: Actor, dora: Actor, group: int
    ) -> None:
        token = invited(clients(dora), group_id=group)
        groups.delete_group(ada, group)

        assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": token}), 403, "invitation_invalid")

    def test_somebody_who_has_an_account_accepts_it(
        self, clients: Clients, alice: Actor, mallory: Actor, dora: Actor, group: int
    ) -> None:
        token = invited(clients(dora), email="alice@example.com", group_id=group)

        assert_problem(clients(mallory).post(f"{INVITATIONS}/accept", json={"token": token}), 403, "invitation_invalid")
        assert clients(alice).post(f"{INVITATIONS}/accept", json={"token": token}).status_code == 204
        assert members_of(group) == {"ada", "dora", "alice"}
        assert_problem(clients(alice).post(f"{INVITATIONS}/accept", json={"token": token}), 403, "invitation_invalid")

    def test_a_manager_of_the_group_who_accepts_stays_its_manager(
        self, clients: Clients, ada: Actor, dora: Actor, group: int
    ) -> None:
        token = invited(clients(ada), email="dora@example.com", group_id=group)

        assert clients(dora).post(f"{INVITATIONS}/accept", json={"token": token}).status_code == 204
        managers = "SELECT count(*) FROM group_members WHERE group_id = %s AND is_manager"
        assert execute(managers, (group,)).fetchone() == (2,)


class TestReceived:
    """Invitations into groups, as the person sees them who has confirmed the invited address."""

    RECEIVED = f"{INVITATIONS}/received"

    @pytest.fixture
    def dora(self, database: None) -> Actor:
        return create_actor("dora")

    @pytest.fixture
    def group(self, ada: Actor, dora: Actor) -> int:
        return create_group(ada, "Roofers", managers=(dora,))

    @pytest.fixture
    def invitation(self, clients: Clients, dora: Actor, alice: Actor, group: int) -> int:
        """The id of Dora's invitation of Alice, whose address is confirmed."""
        execute("UPDATE users SET email_verified_at = now() WHERE id = %s", (alice.user_id,))
        sent = clients(dora).post(INVITATIONS, json={"email": "Alice@example.com", "group_id": group})
        return int(sent.json()["id"])

    def test_it_is_listed_and_accepted_once(
        self, clients: Clients, alice: Actor, dora: Actor, group: int, invitation: int
    ) -> None:
        execute("UPDATE users SET username = 'dora@example.net', full_name = NULL WHERE id = %s", (dora.user_id,))
        (shown,) = clients(alice).get(self.RECEIVED).json()["items"]
        accept = f"{self.RECEIVED}/{invitation}/accept"

        assert shown.keys() == {"id", "group_id", "group_name", "inviter_name", "created_at", "expires_at"}
        assert (shown["id"], shown["group_id"], shown["group_name"]) == (invitation, group, "Roofers")
        assert shown["inviter_name"] == "dora"
        with ThreadPoolExecutor(3) as pool:
            statuses = [response.status_code for response in pool.map(lambda _: clients(alice).post(accept), range(3))]
        assert statuses.count(204) == 1
        assert set(statuses) <= {204, 403, 404}
        assert "alice" in members_of(group)
        assert clients(alice).get(self.RECEIVED).json()["total"] == 0
        assert clients(dora).get(INVITATIONS).json()["total"] == 0

    def test_others_neither_see_nor_accept_it(
        self, clients: Clients, dora: Actor, mallory: Actor, ada: Actor, group: int, invitation: int
    ) -> None:
        execute("UPDATE users SET email_verified_at = now()")

        for actor in (dora, mallory, ada):
            assert clients(actor).get(self.RECEIVED).json()["items"] == []
            refused = clients(actor).post(f"{self.RECEIVED}/{invitation}/accept")
            assert_problem(refused, 404, "invitation_not_found")
        assert members_of(group) == {"ada", "dora"}

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET email_verified_at = NULL WHERE username = 'alice'",
            "UPDATE users SET email = 'a-lice@example.com' WHERE username = 'alice'",
            "UPDATE invitations SET expires_at = now()",
            "UPDATE invitations SET accepted_at = now()",
            "UPDATE invitations SET group_id = NULL",
            "UPDATE users SET is_active = false WHERE username = 'dora'",
            "UPDATE group_members SET is_manager = false",
            "DELETE FROM group_members",
        ],
    )
    def test_what_cannot_be_used_is_not_shown(
        self, change: str, clients: Clients, alice: Actor, invitation: int
    ) -> None:
        assert clients(alice).get(self.RECEIVED).json()["total"] == 1
        execute(change)

        assert clients(alice).get(self.RECEIVED).json()["items"] == []
        refused = clients(alice).post(f"{self.RECEIVED}/{invitation}/accept")
        assert_problem(refused, 404, "invitation_not_found")

    def test_members_of_the_group_are_not_asked_to_join_it(
        self, clients: Clients, ada: Actor, alice: Actor, group: int, invitation: int
    ) -> None:
        groups.put_member(ada, group, alice.user_id, is_manager=True)

        assert clients(alice).get(self.RECEIVED).json()["items"] == []


class TestInviters:
    """Who may invite, and what they see."""

    def test_users_and_strangers_of_a_group_may_not_invite(
        self, clients: Clients, anybody: Caller, alice: Actor, bob: Actor, mallory: Actor, ada: Actor
    ) -> None:
        group_id = create_group(ada, members=(bob,))
        to_group = {"email": CAROL["email"], "group_id": group_id}

        assert_problem(anybody.post(INVITATIONS, json=to_group), 401, "token_missing")
        assert_problem(clients(alice).post(INVITATIONS, json={"email": CAROL["email"]}), 403, "invitation_forbidden")
        assert_problem(clients(bob).post(INVITATIONS, json=to_group), 403, "group_forbidden")
        assert_problem(clients(mallory).post(INVITATIONS, json=to_group), 404, "group_not_found")

    def test_one_sees_and_takes_back_ones_own_and_an_admin_all(
        self, clients: Clients, as_ada: Caller, mallory: Actor, anybody: Caller
    ) -> None:
        as_dora = clients(create_actor("dora", Role.MANAGER))
        token = invited(as_dora)
        (shown,) = as_dora.get(INVITATIONS).json()["items"]
        item = f"{INVITATIONS}/{shown['id']}"

        assert shown.keys() == {"id", "inviter_id", "email", "group_id", "created_at", "expires_at"}
        assert as_ada.get(INVITATIONS).json()["total"] == 1
        assert clients(mallory).get(INVITATIONS).json()["items"] == []
        assert_problem(clients(mallory).delete(item), 404, "invitation_not_found")
        assert as_ada.delete(item).status_code == 204
        assert_problem(as_dora.delete(item), 404, "invitation_not_found")
        assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": token}), 403, "invitation_invalid")

    def test_a_second_invitation_replaces_the_first(self, as_ada: Caller, anybody: Caller) -> None:
        first, second = invited(as_ada), invited(as_ada, email="CAROL@EXAMPLE.COM")

        assert as_ada.get(INVITATIONS).json()["total"] == 1
        assert_problem(anybody.post(REGISTER, json=CAROL | {"invitation": first}), 403, "invitation_invalid")
        assert anybody.post(REGISTER, json=CAROL | {"invitation": second}).status_code == 201

    def test_the_number_of_open_invitations_is_limited(self, as_ada: Caller, ada: Actor) -> None:
        invited(as_ada)
        with unit_of_work():
            execute(
                "INSERT INTO invitations (inviter_id, email, email_key, nonce, is_mailed, expires_at)"
                " SELECT inviter_id, n || email, n || email_key, nonce, is_mailed, expires_at"
                " FROM invitations, generate_series(1, 98) n"
            )

        with ThreadPoolExecutor(4) as pool:
            bodies = [{"email": f"dora{number}@example.com"} for number in range(4)]
            responses = list(pool.map(lambda body: as_ada.post(INVITATIONS, json=body), bodies))

        assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]
        refused = next(response for response in responses if response.status_code == 409)
        assert_problem(refused, 409, "too_many_invitations")
        # The address that is invited already takes no further place.
        assert as_ada.post(INVITATIONS, json={"email": CAROL["email"]}).status_code == 201

    def test_ones_own_data_contain_ones_invitations(self, as_ada: Caller) -> None:
        invited(as_ada)

        (exported,) = as_ada.get("/api/v1/users/me/export").json()["invitations"]
        assert (exported["email"], exported["accepted_at"]) == (CAROL["email"], None)
        assert "nonce" not in exported

    def test_each_step_is_audited(self, as_ada: Caller, anybody: Caller, ada: Actor) -> None:
        token = invited(as_ada)
        anybody.post(REGISTER, json=CAROL | {"invitation": token})
        invited(as_ada, email="dora@example.com")
        (open_one,) = as_ada.get(INVITATIONS).json()["items"]
        as_ada.delete(f"{INVITATIONS}/{open_one['id']}")

        actions = execute("SELECT action, details->>'email' FROM audit_log WHERE action ~ '^invitation' ORDER BY id")
        assert actions.fetchall() == [
            ("invitation.created", CAROL["email"]),
            ("invitation.accepted", None),
            ("invitation.created", "dora@example.com"),
            ("invitation.deleted", "dora@example.com"),
        ]


class TestMails:
    """Invitations by mail."""

    @pytest.fixture
    def server(self, unused_tcp_port: int) -> Iterator[MailServer]:
        with MailServer(unused_tcp_port) as running:
            yield running

    @pytest.fixture
    def with_mail(self, settings: Settings, server: MailServer) -> Settings:
        return mailing(settings, server, registration="invite")

    @pytest.fixture
    def clients(self, with_mail: Settings, client_with_settings: Callable[[Settings], Clients]) -> Clients:
        return client_with_settings(with_mail)

    @pytest.fixture
    def send_mails(self, with_mail: Settings, redis: "Redis[bytes]") -> Callable[[], None]:
        """A function that does what the workers do until all mails are sent."""
        return lambda: send_mails(with_mail, redis)

    def test_the_token_goes_to_the_address_only_and_proves_it(
        self, as_ada: Caller, anybody: Caller, send_mails: Callable[[], None], server: MailServer
    ) -> None:
        response = as_ada.post(INVITATIONS, json={"email": CAROL["email"]})
        send_mails()

        assert response.json()["token"] is None
        assert server.recipients == [CAROL["email"]]
        assert server.mails[0]["Subject"] == "Ada invites you to Allweather"
        registered = anybody.post(REGISTER, json=CAROL | {"invitation": token_in(server)})
        assert registered.status_code == 201
        assert execute(
            "SELECT email_verified_at IS NOT NULL FROM users WHERE email = %s", (CAROL["email"],)
        ).fetchone() == (True,)
        send_mails()
        assert len(server.mails) == 1

    @pytest.mark.parametrize(("own", "is_verified"), [("Strasse@Example.com", True), ("straße@example.com", False)])
    def test_a_mail_proves_no_mailbox_that_is_merely_written_alike(
        self,
        own: str,
        is_verified: bool,
        as_ada: Caller,
        anybody: Caller,
        send_mails: Callable[[], None],
        server: MailServer,
    ) -> None:
        as_ada.post(INVITATIONS, json={"email": "strasse@example.com"})
        send_mails()
        account = {"email": own, "password": PASSWORD, "invitation": token_in(server)}

        registered = anybody.post(REGISTER, json=account)

        assert (registered.status_code, registered.json()["email_verified"]) == (201, is_verified)
        send_mails()
        asked_for_proof = [mail["Subject"] for mail in server.mails[1:]] == ["Please confirm your email address"]
        assert asked_for_proof is not is_verified

    def test_a_token_that_was_handed_over_proves_no_address(
        self, settings: Settings, ada: Actor, client_with_settings: Callable[[Settings], Clients]
    ) -> None:
        client = client_with_settings(settings)(ada)

        client.post(REGISTER, json=CAROL | {"invitation": invited(client)})

        verified = execute("SELECT email_verified_at FROM users WHERE email = %s", (CAROL["email"],))
        assert verified.fetchone() == (None,)

    def test_the_inviter_cannot_tell_whether_the_address_has_an_account(
        self, as_ada: Caller, alice: Actor, send_mails: Callable[[], None], server: MailServer
    ) -> None:
        responses = [as_ada.post(INVITATIONS, json={"email": f"{name}@example.com"}) for name in ("alice", "carol")]
        send_mails()

        known, unknown = (response.json() for response in responses)
        assert [response.status_code for response in responses] == [201, 201]
        assert known.keys() == unknown.keys()
        assert sorted(server.recipients) == ["alice@example.com", "carol@example.com"]
        texts = {re.sub(r"\S*\d\.[0-9a-f]{8,}\S*", "…", mail.get_content()) for mail in server.mails}
        assert len(texts) == 1

    def test_names_in_the_mail_are_short_and_no_links(
        self, clients: Clients, send_mails: Callable[[], None], server: MailServer, ada: Actor
    ) -> None:
        dora = create_actor("dora")
        group_id = create_group(ada, "Win at https://evil.example\u202e " + "x" * 60, managers=(dora,))
        with unit_of_work():
            execute(
                "UPDATE users SET full_name = E'Support\\nwww.evil.example', locale = 'de' WHERE id = %s",
                (dora.user_id,),
            )

        clients(dora).post(INVITATIONS, json={"email": CAROL["email"], "group_id": group_id})
        send_mails()

        (mail,) = server.mails
        assert mail["Content-Language"] == "de"
        assert mail["Subject"] == "Support www[.]evil[.]example lädt Sie zu Allweather ein"
        assert "„Win at https[:]//evil[.]example xxx" in mail.get_content()
        assert len(re.findall(r"\S+://\S+", mail.get_content())) == 1

    def test_over_the_cap_of_the_inviter_the_mail_waits_for_the_next_hour(
        self, as_ada: Caller, ada: Actor, send_mails: Callable[[], None], server: MailServer
    ) -> None:
        with unit_of_work():
            execute("INSERT INTO mail_counts VALUES (%s, date_trunc('hour', now()), 100)", (f"sender {ada.user_id}",))
        as_ada.post(INVITATIONS, json={"email": CAROL["email"]})
        send_mails()

        waiting = execute("SELECT mail_status, mail_attempts, mail_next_attempt_at > now() FROM account_mails")
        assert (server.mails, waiting.fetchone()) == ([], ("pending", 0, True))

    def test_the_link_leads_to_the_console(
        self, as_ada: Caller, send_mails: Callable[[], None], server: MailServer
    ) -> None:
        as_ada.post(INVITATIONS, json={"email": CAROL["email"]})
        send_mails()

        assert f" https://tasks.example.com/#/invitation?token={token_in(server)}\r\n" in server.mails[0].get_content()

    def test_without_the_console_the_link_leads_to_a_page_that_registers(
        self, as_ada: Caller, anybody: Caller, with_mail: Settings, redis: "Redis[bytes]", server: MailServer
    ) -> None:
        as_ada.post(INVITATIONS, json={"email": CAROL["email"]})
        send_mails(with_settings(with_mail, console=False), redis)
        (link,) = re.findall(r"https://tasks\.example\.com(\S+)", server.mails[0].get_content())
        page, form = link.partition("?")[0], {"invitation": token_in(server)}

        shown = anybody.get(link)
        refused = anybody.post(page, data=form | {"password": "short"})
        done = anybody.post(page, data=form | {"password": PASSWORD}, headers={"Accept-Language": "de"})
        again = anybody.post(page, data=form | {"password": PASSWORD})
        shown_again = anybody.get(link)

        assert (shown.status_code, refused.status_code, done.status_code, again.status_code) == (200, 422, 200, 403)
        assert f'name="invitation" value="{form["invitation"]}"' in shown.text
        assert f'autocomplete="username" value="{CAROL["email"]}" readonly' in shown.text
        assert 'type="password"' in refused.text
        assert "The password must have a length of at least 8." in refused.text
        assert 'type="password"' not in again.text
        assert (shown_again.status_code, "<form" in shown_again.text) == (403, False)
        assert "<h1>Sie sind eingeladen</h1>" in done.text
        assert anybody.post("/auth/login", json=CAROL).status_code == 200

    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM invitations",
            "UPDATE invitations SET expires_at = now()",
            "UPDATE users SET is_active = false WHERE username = 'ada'",
            "UPDATE users SET role = 'user' WHERE username = 'ada'",
        ],
    )
    def test_an_invitation_that_has_ended_is_not_mailed(
        self, change: str, as_ada: Caller, send_mails: Callable[[], None], server: MailServer
    ) -> None:
        as_ada.post(INVITATIONS, json={"email": CAROL["email"]})
        with unit_of_work():
            execute(change)

        send_mails()

        assert server.mails == []


def token_in(server: MailServer) -> str:
    """Return the token in the last mail."""
    (token,) = set(re.findall(r"\d+\.[0-9a-f]{16,}\.[\w-]+", server.mails[-1].get_content()))
    return str(token)
