"""Numbered batches arrive once, in order, whatever is lost on either side."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from models.errors import InputError, Refused
from twin.delivery import SESSIONS_KEPT, Accept, AlreadyHave, BatchId, Expect, Inbox, Window


def heard(*batches: tuple[int, int]) -> Inbox:
    inbox = Inbox()
    for session, seq in batches:
        assert inbox.check("gw", session, seq) == Accept()
        inbox.accepted("gw", session, seq)
    return inbox


def test_only_the_next_number_is_taken():
    inbox = heard((3, 1), (3, 2))
    assert inbox.check("gw", 3, 3) == Accept()
    assert inbox.check("gw", 3, 2) == AlreadyHave(seq=2)
    assert inbox.check("gw", 3, 1) == AlreadyHave(seq=2)
    assert inbox.check("gw", 3, 4) == Expect(seq=3)


def test_a_source_never_heard_begins_at_one_in_any_session():
    assert Inbox().check("gw", 7, 1) == Accept()
    assert Inbox().check("gw", 7, 2) == Expect(seq=1)


def test_a_higher_session_begins_at_one_again():
    inbox = heard((3, 1), (3, 2))
    assert inbox.check("gw", 5, 3) == Expect(seq=1)
    assert inbox.check("gw", 5, 1) == Accept()


def test_an_old_session_is_refused_with_both_numbers_named_unless_it_was_taken():
    inbox = heard((3, 1), (3, 2), (4, 1))
    assert inbox.check("gw", 3, 2) == AlreadyHave(seq=2)
    with pytest.raises(Refused, match="session 3 of gw is over, session 4 is current"):
        inbox.check("gw", 3, 3)
    with pytest.raises(Refused, match="session 2"):
        inbox.check("gw", 2, 1)


def test_sources_are_independent():
    inbox = heard((3, 1))
    assert inbox.check("other", 1, 1) == Accept()


@pytest.mark.parametrize(("source", "session", "seq"), [("", 1, 1), ("gw", 0, 1), ("gw", 1, 0)])
def test_nonsense_is_an_input_error(source, session, seq):
    with pytest.raises(InputError):
        Inbox().check(source, session, seq)


def test_an_inbox_is_rebuilt_from_what_it_last_said_and_stays_small():
    inbox = heard(*((session, 1) for session in range(1, 100)))
    assert len(inbox.last["gw"]) == SESSIONS_KEPT
    again = Inbox(inbox.last)
    assert again.last == inbox.last
    assert again.check("gw", 99, 2) == Accept()


def filled(count: int, limit: int = 8, session: int = 1) -> Window:
    window = Window(limit)
    for seq in range(1, count + 1):
        window.offer(session, seq)
    return window


def drained(window: Window) -> list[int]:
    """Everything the window sends without hearing an answer."""
    return [batch.seq for batch in iter(window.next_to_send, None)]


def test_the_first_goes_alone_and_then_the_window_fills():
    window = filled(20, limit=4)
    assert drained(window) == [1]
    window.acked(1, 1)
    assert drained(window) == [2, 3, 4, 5]
    window.acked(1, 3)
    assert drained(window) == [6]
    assert window.in_flight == 4
    assert window.unacked[0] == (1, 4)


def test_expect_drains_before_it_rewinds():
    window = filled(20, limit=4)
    drained(window)
    window.acked(1, 1)
    assert drained(window) == [2, 3, 4, 5]
    window.expect(1, 2)
    assert drained(window) == []
    window.lost()
    window.expect(1, 2)
    assert drained(window) == []
    window.lost()
    assert drained(window) == [2]
    window.acked(1, 2)
    assert drained(window) == [3, 4, 5, 6]


def test_expect_acknowledges_what_stands_before_it():
    window = filled(5)
    drained(window)
    window.acked(1, 1)
    drained(window)
    window.expect(1, 4)
    assert window.unacked == ((1, 4), (1, 5))


def test_a_newer_session_waits_for_the_older_one():
    window = filled(2, session=5)
    window.offer(6, 1)
    drained(window)
    window.acked(5, 1)
    assert window.next_to_send() == BatchId(5, 2)
    assert window.next_to_send() is None
    window.acked(5, 2)
    assert window.next_to_send() == BatchId(6, 1)


def test_a_receiver_that_was_set_back_is_named_instead_of_asked_for_ever():
    window = Window()
    window.offer(5, 17)
    drained(window)
    with pytest.raises(Refused, match="set back"):
        window.expect(5, 3)
    assert window.in_flight == 0
    assert window.unacked == ((5, 17),)


def test_batches_are_offered_in_order():
    window = filled(3)
    for session, seq in [(1, 3), (1, 5), (2, 2), (0, 1)]:
        with pytest.raises(InputError):
            window.offer(session, seq)
    with pytest.raises(InputError):
        Window(0)


class Ends(RuleBasedStateMachine):
    """A gateway and a shard that crash, and a network that delays, reorders calls and loses."""

    def __init__(self) -> None:
        super().__init__()
        self.session = 1
        self.made: list[BatchId] = []
        self.stored: list[BatchId] = []  # durable at the gateway, not acknowledged
        self.window = Window(4)
        self.calls: list[BatchId] = []
        self.answers: list[tuple[str, BatchId]] = []
        self.journal: list[BatchId] = []
        self.inbox = Inbox()

    @rule()
    def measure(self) -> None:
        last = max((b.seq for b in self.made if b.session == self.session), default=0)
        batch = BatchId(self.session, last + 1)
        self.made.append(batch)
        self.stored.append(batch)
        self.window.offer(*batch)

    @rule()
    def send(self) -> None:
        batch = self.window.next_to_send()
        if batch is not None:
            self.calls.append(batch)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        batch = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        match self.inbox.check("gw", *batch):
            case Accept():
                self.journal.append(batch)
                self.inbox.accepted("gw", *batch)
                self.answers.append(("acked", batch))
            case AlreadyHave(seq=seq):
                self.answers.append(("acked", BatchId(batch.session, seq)))
            case Expect(seq=seq):
                self.answers.append(("expect", BatchId(batch.session, seq)))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        kind, batch = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if kind == "acked":
            self.window.acked(*batch)
        else:
            self.window.expect(*batch)
        self.stored = list(self.window.unacked)

    @precondition(lambda self: self.answers)
    @rule()
    def lose_an_answer(self) -> None:
        self.answers.pop()
        self.window.lost()

    @precondition(lambda self: self.calls)
    @rule()
    def lose_a_call(self) -> None:
        self.calls.pop(0)
        self.window.lost()

    @rule()
    def shard_crashes(self) -> None:
        """Calls under way fail; the journal is replayed into a new inbox."""
        for _ in self.calls + self.answers:
            self.window.lost()
        self.calls.clear()
        self.answers.clear()
        self.inbox = Inbox()
        for batch in self.journal:
            assert self.inbox.check("gw", *batch) == Accept()
            self.inbox.accepted("gw", *batch)

    @rule(forgets=st.integers(0, 3))
    def gateway_crashes(self, forgets: int) -> None:
        """A new session; the note of the newest acknowledgements may be lost with the power."""
        oldest = self.made.index(self.stored[0]) if self.stored else len(self.made)
        self.stored = self.made[max(0, oldest - forgets) :]
        self.session += 1
        self.calls.clear()
        self.answers.clear()
        self.window = Window(4)
        for batch in self.stored:
            self.window.offer(*batch)

    @invariant()
    def the_journal_is_a_prefix_of_what_was_made(self) -> None:
        assert self.journal == self.made[: len(self.journal)]

    @invariant()
    def what_the_gateway_dropped_is_journalled(self) -> None:
        kept = set(self.stored)
        assert all(batch in self.journal for batch in self.made if batch not in kept)

    def teardown(self) -> None:
        """Once the faults stop, everything gets through."""
        waiting = deque(self.calls)
        for kind, batch in self.answers:
            getattr(self.window, kind)(*batch)
        steps = 0
        while waiting or len(self.window):
            steps += 1
            assert steps < 20 * len(self.made) + 100
            batch = self.window.next_to_send()
            if batch is not None:
                waiting.append(batch)
                continue
            self.calls = [waiting.popleft()]
            self.answers = []
            Ends.arrive(self, _First())
            Ends.answer(self, _First())
        assert self.journal == self.made


class _First:
    def draw(self, _strategy: object) -> int:
        return 0


Ends.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestEnds = Ends.TestCase
