"""Which version a command speaks: the client takes the option anywhere."""


def spoken(version):
    return ("--os-placement-api-version", version)


NEWEST = spoken("1.39")


def hosts(shell, admin):
    """The providers by name."""
    rows = shell.run(admin, "resource", "provider", "list").data
    return {row["name"]: row["uuid"] for row in rows}
