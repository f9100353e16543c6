"""A value of an asyncua server of ours, as it is kept and sent."""

from asyncua import ua


class Held(ua.DataValue):
    """A data value that is never changed after it was made.

    asyncua copies each value deeply per monitored item; a value nobody changes need not be copied.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> "Held":
        return self
