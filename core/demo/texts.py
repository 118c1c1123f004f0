"""The people, groups and texts of the demonstration."""

from dataclasses import dataclass
from typing import Final

from core.policy import Role


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account. The email is the username at example.com, where no mail arrives."""

    username: str
    full_name: str
    timezone: str
    role: Role = Role.USER
    locale: str = "en"

    @property
    def email(self) -> str:
        """The address of the account."""
        return f"{self.username}@example.com"


PEOPLE: Final = (
    Person("ada", "Ada Lindqvist", "Europe/Stockholm", Role.ADMIN),
    Person("grace", "Grace Okafor", "Europe/London", Role.MANAGER),
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
    ("Paint the fence", "Two coats, dry for at least a day in between. Not below 8 °C."),
    ("Clean the gutters", "Leaves block the downpipe on the left. Take the long ladder."),
    ("Inspect the roof", "Look for loose tiles after the last storm, and take photographs."),
    ("Mow the meadow", "Only the paths; the rest stays for the bees until the end of the season."),
    ("Plant the hedge", "Forty hornbeams, a hand's breadth apart. Water them well."),
    ("Repair the jetty", "Three planks are rotten. The new ones are in the shed."),
    ("Wash the windows", "With the lift, so not in a wind above 8 m/s."),
    ("Put up the stage", "The delivery comes at nine. Ballast for wind is on the second lorry."),
    ("Prune the apple trees", "Only while it is dry, so that the cuts close."),
    ("Seal the flat roof", "The membrane needs a dry surface and no frost for a night."),
    ("Survey the footpath", "Measure where water stands after rain."),
    ("Service the pump", "Replace the filter, and write the hours into the book."),
    ("Lay the paving", "Sand is delivered; the pattern is in the drawing."),
    ("Count the birds", "At dawn, from the three usual points."),
    ("Replace the floodlights", "Eight lamps. The crane is booked for the morning."),
    ("Check the moorings", "Before the wind turns to the west."),
    ("Pour the foundation", "Concrete is ordered; cover it if rain is announced."),
    ("Hang the banners", "On both bridges; the permit is in the folder."),
    ("Salt the paths", "Before six, if it freezes overnight."),
    ("Test the solar panels", "Under a clear sky around noon; note the output of each string."),
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
