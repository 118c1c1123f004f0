"""The people, groups and texts of the demonstration."""

from dataclasses import dataclass
from typing import Any, Final

from core.policy import Role

Rule = dict[str, float]

_WEEKDAYS: Final = ["mon", "tue", "wed", "thu", "fri"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. The email is the username at example.com, where no mail arrives.

    `rule` and `working_hours` are the weather rule and the hours of the profile.
    """

    username: str
    full_name: str
    timezone: str
    role: Role = Role.USER
    locale: str = "en"
    rule: Rule | None = None
    working_hours: dict[str, Any] | None = None

    @property
    def email(self) -> str:
        """The address of the account."""
        return f"{self.username}@example.com"


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do, how long it takes, and the weather that it bears; None if that does not matter."""

    title: str
    description: str
    minutes: int
    rule: Rule | None = None


PEOPLE: Final = (
    Person(
        "ada",
        "Ada Lindqvist",
        "Europe/Stockholm",
        Role.ADMIN,
        rule={"max_rain_probability": 70, "max_gusts": 60},
        working_hours={"days": _WEEKDAYS, "from": "08:00", "to": "17:00"},
    ),
    Person(
        "grace",
        "Grace Okafor",
        "Europe/London",
        Role.MANAGER,
        rule={"max_gusts": 65},
        working_hours={"days": [*_WEEKDAYS, "sat"], "from": "07:00", "to": "16:00"},
    ),
    Person("mateo", "Mateo Ruiz", "Europe/Madrid", Role.MANAGER, "es"),
    Person("ingrid", "Ingrid Solberg", "Europe/Oslo"),
    Person("jonas", "Jonas Weber", "Europe/Berlin", locale="de"),
    Person("claire", "Claire Moreau", "Europe/Paris", locale="fr"),
    Person("kenji", "Kenji Watanabe", "Asia/Tokyo"),
    Person("olga", "Olga Smirnova", "Europe/Helsinki", locale="ru"),
    Person("sam", "Sam Carter", "America/New_York"),
    Person("thandi", "Thandi Nkosi", "Africa/Johannesburg"),
)

GROUPS: Final = {
    "Roofs and façades": ("grace", "ingrid", "jonas", "sam"),
    "Parks and gardens": ("mateo", "claire", "kenji", "thandi", "olga"),
    "Harbour crew": ("grace", "ingrid", "olga", "sam", "ada"),
    "Events outdoors": ("mateo", "claire", "jonas", "ada"),
}

WORK: Final = (
    Work(
        "Paint the fence",
        "Two coats, dry for at least a day in between. Not below 5 °C.",
        240,
        {"max_rain_probability": 30, "min_temperature": 5},
    ),
    Work("Clean the gutters", "Leaves block the downpipe on the left. Take the long ladder.", 90, {"max_gusts": 50}),
    Work(
        "Inspect the roof",
        "Look for loose tiles after the last storm, and take photographs.",
        60,
        {"max_gusts": 45, "max_rain_mm": 0.5},
    ),
    Work(
        "Mow the meadow",
        "Only the paths; the rest stays for the bees until the end of the season.",
        120,
        {"max_rain_mm": 0.5},
    ),
    Work("Plant the hedge", "Forty hornbeams, a hand's breadth apart. Water them well.", 240),
    Work("Repair the jetty", "Three planks are rotten. The new ones are in the shed.", 180),
    Work("Wash the windows", "With the lift, so not in a wind above 8 m/s.", 120, {"max_wind": 29}),
    Work(
        "Put up the stage",
        "The delivery comes at nine. Ballast for wind is on the second lorry.",
        240,
        {"max_gusts": 50},
    ),
    Work("Prune the apple trees", "Only while it is dry, so that the cuts close.", 120, {"max_rain_mm": 0}),
    Work(
        "Seal the flat roof",
        "The membrane needs a dry surface and no frost for a night.",
        180,
        {"max_rain_probability": 20, "min_temperature": 2},
    ),
    Work("Survey the footpath", "Measure where water stands after rain.", 60),
    Work("Service the pump", "Replace the filter, and write the hours into the book.", 45),
    Work("Lay the paving", "Sand is delivered; the pattern is in the drawing.", 300, {"max_rain_mm": 4}),
    Work("Count the birds", "At dawn, from the three usual points.", 90),
    Work("Replace the floodlights", "Eight lamps. The crane is booked for the morning.", 120, {"max_gusts": 40}),
    Work("Check the moorings", "Before the wind turns to the west.", 30),
    Work(
        "Pour the foundation",
        "Concrete is ordered; cover it if rain is announced.",
        240,
        {"max_rain_mm": 3, "min_temperature": 3},
    ),
    Work("Hang the banners", "On both bridges; the permit is in the folder.", 90, {"max_gusts": 40}),
    Work("Salt the paths", "Before six, if it freezes overnight.", 60),
    Work(
        "Test the solar panels",
        "Under a clear sky around noon; note the output of each string.",
        60,
        {"max_rain_probability": 25},
    ),
)

WHERE: Final = (
    "at the north gate",
    "at the boathouse",
    "on the school roof",
    "by the river",
    "in the rose garden",
    "at the market hall",
    "behind the library",
    "at the old mill",
    "on the terrace",
    "at the playground",
    "around the pavilion",
    "at house 7",
)

COMMENTS: Final = (
    "The forecast looks better on Thursday, shall we wait?",
    "I have the key and can open at seven.",
    "Half of it is done; the rest tomorrow morning.",
    "We need one more pair of hands for the ladder.",
    "The material has arrived, it is under the tarpaulin.",
    "Stopped because of the rain. Everything is covered.",
    "Photographs are on the shared drive.",
    "Done on my side, could somebody look over it?",
    "The neighbour asks us not to start before eight.",
    "Too windy today, the lift stays down.",
    "Looks good, thank you!",
    "I have moved the deadline, the delivery is late.",
)

FEEDBACK: Final = {
    "ingrid": (5, "The warning came before the storm, and the roof was covered in time."),
    "jonas": (4, "“Better times” saves me three calls a week. A view of the whole month would help."),
    "mateo": (3, "The forecast of the harbour is too fine: the wind is stronger there than in the city."),
    "claire": (5, None),
    "sam": (2, "I got two mails about the same task. One in the morning would be enough."),
    "thandi": (4, "It works on my phone in the garden, even without a connection."),
}
"""What some people say about Allweather: a rating, and a message or None. The first of them said it first."""
