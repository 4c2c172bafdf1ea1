"""Many writers and readers at once, in one process and in several, on both databases."""

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_records import ASKED, NAMES, NOW, fill, publish, record, trade
from margin_cluster.ledger import ChangeResult, Ledger, PositionChange, Trade, address, database
from margin_cluster.ledger.verification import verify_ledger

from margin_actors.errors import KeyReused, LedgerUnavailable

ONE = Trade("A", "M", NAMES[0], 1.0)


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Run work(0) to work(count - 1) in threads that start together; return their results."""
    barrier = threading.Barrier(count)

    def run(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_six_concurrent_uses_of_one_key_have_one_effect_and_one_answer(ledger_url: str) -> None:
    """The calls that lose the race return the first result; none fails with a conflict."""
    ledgers = [Ledger(ledger_url) for _ in range(6)]
    for turn in range(20):
        results = at_once(6, lambda n, key=f"k{turn}": trade(ledgers[n], key, ONE))
        assert {r.version for r in results if isinstance(r, ChangeResult)} == {turn + 1}
        assert Counter(r.was_repeated for r in results) == {False: 1, True: 5}
    changes = ledgers[0].changes_since(0)
    assert [c.version for c in changes] == list(range(1, 21))
    for ledger in ledgers:
        ledger.close()


def test_six_concurrent_publications_with_one_key_make_one_generation(ledger_url: str) -> None:
    ledgers = [Ledger(ledger_url) for _ in range(3)]
    for turn in range(5):
        numbers = at_once(6, lambda n, t=turn: publish(ledgers[n % 3], f"s{t}", t, key=f"k{t}"))
        assert set(numbers) == {turn + 1}
    assert len(ledgers[0].list_generations(99, "")[0]) == 5
    for ledger in ledgers:
        ledger.close()


def test_a_follower_holds_what_the_serial_order_gives(ledger_url: str) -> None:
    """A reader of changes receives every acknowledged trade once, in the order of the versions."""
    stop = threading.Event()
    folds: list[dict[str, float]] = [{} for _ in range(3)]
    followers = [Ledger(ledger_url) for _ in folds]

    def follow(number: int) -> int:
        version, fold, ledger = 0, folds[number], followers[number]
        while True:
            ending = stop.wait(0.005)
            for change in ledger.changes_since(version):
                assert change.version == version + 1
                version = change.version
                for t in change.trades:
                    fold[t.account_id] = fold.get(t.account_id, 0.0) + t.quantity
            if ending:
                return version

    def write(seed: int) -> Counter[str]:
        chance, ledger, made = random.Random(seed), Ledger(ledger_url), Counter[str]()
        for i in range(30):
            trades = tuple(
                Trade(chance.choice("ABC"), "M", NAMES[0], float(chance.randint(-9, 9)))
                for _ in range(chance.randint(1, 4))
            )
            result = trade(ledger, f"{seed}-{i}", *trades)
            assert not result.was_repeated
            for t in trades:
                made[t.account_id] += int(t.quantity)
            if chance.random() < 0.2:
                ledger.add_calculations([record(f"c{seed}-{i}")])
        ledger.close()
        return made

    with ThreadPoolExecutor(len(folds)) as readers:
        running = [readers.submit(follow, n) for n in range(len(folds))]
        acknowledged = Counter[str]()
        for made in at_once(10, write):
            acknowledged.update(made)
        stop.set()
        assert {r.result() for r in running} == {300}
    for fold in folds:
        assert {a: q for a, q in fold.items() if q} == {a: q for a, q in acknowledged.items() if q}
    assert verify_ledger(followers[0].database).findings == ()
    for ledger in followers:
        ledger.close()


def test_what_is_decided_under_the_lock_sees_every_change_before_it(ledger_url: str) -> None:
    """The position that a trade is checked against is the one it is added to."""

    def write(_: int) -> int:
        own, accepted = Ledger(ledger_url), 0

        def decide() -> PositionChange:
            held = sum(t.quantity for c in own.changes_since(0) for t in c.trades)
            if held >= 20.0:
                raise KeyReused("the limit is reached")
            return PositionChange(0, 0, (ONE,))

        for _ in range(10):
            try:
                own.change_positions(
                    "trades", key="", content="c", origin=ASKED, now=NOW, decide=decide
                )
            except KeyReused:
                continue
            accepted += 1
        own.close()
        return accepted

    assert sum(n for n in at_once(6, write) if isinstance(n, int)) == 20


def test_threads_of_one_ledger_share_its_writer(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)

    def write(number: int) -> None:
        for i in range(5):
            trade(ledger, f"{number}-{i}", ONE)
            ledger.add_calculations([record(f"{number}-{i}")])
            assert ledger.portfolio_version() > 0

    at_once(24, write)
    assert ledger.portfolio_version() == 120
    assert ledger.head().sequence == 240
    ledger.close()


def test_processes_that_create_one_ledger_at_once_all_succeed(ledger_url: str) -> None:
    code = "import sys; from margin_cluster.ledger import Ledger; Ledger(sys.argv[1]).close()"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, ledger_url], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0, text.decode()
    ledger = Ledger(ledger_url)
    assert ledger.head().sequence == 0
    fill(ledger)
    ledger.close()


def test_readers_do_not_wait_for_a_writer(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    trade(ledger, "", ONE)
    done = threading.Event()
    with ledger.database.writing() as writer:
        writer.execute("UPDATE ledger_head SET checked_ms = 1")
        reader = threading.Thread(
            target=lambda: (
                ledger.portfolio_version(),
                ledger.active_inputs(),
                ledger.changes_since(0),
                ledger.repeated_change("trades", "k", "c"),
                done.set(),
            )
        )
        reader.start()
        assert done.wait(5.0), "a reader waited for the writer"
    reader.join()
    assert ledger.portfolio_version() == 1
    ledger.close()


def test_a_writer_that_is_killed_holds_up_nobody(ledger_url: str) -> None:
    """Nothing of a dead gateway stays taken for more than 10 s."""
    code = (
        "import sys, time; from margin_cluster.ledger import Ledger\n"
        "with Ledger(sys.argv[1]).database.writing() as w:\n"
        "    w.execute('UPDATE ledger_head SET checked_ms = 7')\n"
        "    print('holding', flush=True); time.sleep(600)"
    )
    ledger = Ledger(ledger_url)
    holder = subprocess.Popen([sys.executable, "-c", code, ledger_url], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"holding\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert trade(ledger, "", ONE).version == 1
    ledger.close()


def test_a_locked_ledger_is_unavailable_and_says_so(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign lock is a message, after 1 s in place of the 10 s that it names."""
    monkeypatch.setattr(address, "BUSY_SECONDS", 1)
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    ledger, other = Ledger(ledger_url), Ledger(ledger_url)
    with other.database.writing():
        with pytest.raises(LedgerUnavailable, match="locked for 10 s by another process"):
            ledger.check_writable()
    ledger.check_writable()
    ledger.close()
    other.close()
