"""Groups in the console: people are invited by email, and accept by the link of the mail or where they read it."""

import re
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.console import Console, Open
from tests.doubles.smtp import MailServer
from tests.e2e.people import PASSWORD, Person
from tests.e2e.system import System
from tests.polling import wait_until


@pytest.fixture
def carol(system: System, mail: MailServer) -> Person:
    """Somebody who is in no group, and has confirmed the address."""
    person = Person(system)
    person.confirm_email(mail)
    return person


def group_card(page: Page) -> Locator:
    return page.get_by_role("region", name="Roofers")


def invite(console: Console, email: str) -> Locator:
    """Invite somebody into the group, and return the line of the open invitation."""
    page = console.open("groups")
    group_card(page).get_by_role("button", name="Invite by email").click()
    page.get_by_role("dialog").get_by_label("Email").fill(email)
    page.get_by_role("dialog").get_by_role("button", name="Invite", exact=True).click()
    expect(page.get_by_text(f"The invitation was sent to {email}.")).to_be_visible()
    return group_card(page).get_by_role("listitem").filter(has_text=email)


def link_to(email: str, mail: MailServer) -> str:
    """Return the part after # of the link in the invitation that this address has got."""

    def links() -> list[str]:
        texts = [each.get_content() for each in mail.mails if each["To"] == email]
        return [link for text in texts for link in re.findall(r"/#/(invitation\?token=\S+)", text)]

    wait_until(lambda: bool(links()), 30)
    return links()[-1]


def test_somebody_with_an_account_reads_of_the_invitation_and_joins(
    console: Console, carol: Person, open_console: Open
) -> None:
    sent = invite(console, carol.email)
    expect(sent).to_contain_text("Open until")
    assert console.violations() == []
    console.page.set_viewport_size({"width": 360, "height": 740})
    assert not console.overflows()
    theirs = open_console()
    theirs.sign_in(carol)
    theirs.page.get_by_role("link", name="Notifications, 1 unread").click()
    expect(theirs.page.get_by_text("Alice Archer invites you to the group “Roofers”.")).to_be_visible()
    assert theirs.violations() == []

    theirs.page.get_by_role("button", name="Join “Roofers”").click()

    expect(theirs.page.get_by_text("You belong to “Roofers” now.")).to_be_visible()
    expect(theirs.page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()
    console.page.reload()
    expect(group_card(console.page).get_by_text(carol.name[:12])).to_be_visible()
    expect(sent).to_have_count(0)


def test_the_link_of_the_mail_lets_a_stranger_register_and_join(
    console: Console, mail: MailServer, open_console: Open
) -> None:
    email = f"{uuid4().hex}@example.com"
    invite(console, email)
    theirs = open_console()
    page = theirs.open(link_to(email, mail))
    expect(page.get_by_text("You are invited.")).to_be_visible()
    assert theirs.violations() == []
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("Your name").fill("Erin Eaves")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)

    page.get_by_role("button", name="Create account").click()

    expect(group_card(page)).to_contain_text("Erin Eaves")
    expect(page).to_have_url(re.compile(r"#/groups$"))


def test_the_link_is_for_the_invited_person_alone_and_ends_when_it_is_withdrawn(
    console: Console, carol: Person, bob: Person, mail: MailServer, open_console: Open
) -> None:
    sent = invite(console, carol.email)
    link = link_to(carol.email, mail)
    bobs, carols = open_console(), open_console()
    for theirs in (bobs, carols):
        theirs.expect_error("status of 403")
    bobs.sign_in(bob, path=link)
    bobs.page.get_by_role("button", name="Accept the invitation").click()
    expect(bobs.page.get_by_text("or for another address")).to_be_visible()
    assert bobs.violations() == []

    sent.get_by_role("button", name="Withdraw").click()

    expect(sent).to_have_count(0)
    carols.sign_in(carol, path=link)
    expect(carols.page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()
    carols.page.get_by_role("button", name="Accept the invitation").click()
    expect(carols.page.get_by_text("This invitation is not valid")).to_be_visible()


def test_a_manager_adds_people_by_their_names(
    open_console: Open, system: System, ada: Person, alice: Person, bob: Person
) -> None:
    members = f"{system.url}/api/v1/groups/{ada.post('/groups', name='Gardeners')['id']}/members"
    requests.put(f"{members}/{alice.id}", json={"is_manager": True}, headers=ada.headers, timeout=10)
    console = open_console()
    page = console.sign_in(alice, path="groups")
    card = page.get_by_role("region", name="Gardeners")
    card.get_by_role("button", name="Add a person").click()
    name = page.get_by_label("Person", exact=True).locator("option", has_text="Bob").first.inner_text()
    page.get_by_label("Person", exact=True).select_option(label=name)

    page.get_by_role("dialog").get_by_role("button", name="Add").click()

    expect(card.get_by_role("listitem").filter(has_text=name)).to_be_visible()
