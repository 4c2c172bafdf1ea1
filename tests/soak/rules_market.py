"""Rules of MarketDataService, ScenarioService and OperationsService."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule
from margin_protos.v1 import market_data_service_pb2 as pb
from margin_protos.v1 import scenario_service_pb2 as scenario_pb
from soak.calls import Caller, Outcome
from soak.market import MarketSpec, header_of, publication, quotes_of, snapshot_of, stamp
from soak.model import Used
from soak.rules_positions import judge_repeat
from soak.session import Session
from soak.values import GATEWAYS, PLACES, REQUEST_IDS, STRANGE_TEXTS

from margin_actors.market.snapshots import MarketSnapshot

BAD = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
STEPS_MAX = 250
"""Farthest that an index moves from its first price, thousandths of its logarithm."""
CLOCK_MARGIN = timedelta(days=1)


def moved(spec: MarketSpec, minutes: int, steps: tuple[int, int], vol: int) -> MarketSpec:
    """Return a later specification with other prices, complete again."""
    time = min(spec.time + timedelta(minutes=minutes), datetime.now(UTC) - CLOCK_MARGIN)

    def bounded(value: int, most: int) -> int:
        return max(-most, min(most, value))

    first, second = (bounded(a + b, STEPS_MAX) for a, b in zip(spec.steps, steps, strict=True))
    return MarketSpec(
        time=time.replace(second=0, microsecond=0),
        steps=(first, second),
        vol_step=bounded(spec.vol_step + vol, 20),
    )


def send_snapshot(
    session: Session,
    snapshot: MarketSnapshot,
    gateway: int,
    *,
    key: str = "",
    allow_older: bool = False,
    request_id: str = "",
    kind: str = "PublishSnapshot",
) -> Outcome:
    """Publish a snapshot and judge the answer against the model."""
    model, record = session.model, session.record
    used = model.publish_keys.get(key) if key else None

    def attempt(caller: Caller) -> Outcome:
        stream = publication(snapshot, key=key, allow_older=allow_older)
        expect = ("OK", "FAILED_PRECONDITION", "ALREADY_EXISTS", "UNAVAILABLE")
        return session.ordinary(
            "PublishSnapshot",
            stream,
            caller=caller,
            expect=expect,
            request_id=request_id,
            kind=kind,
        )

    outcome = session.decided(attempt, gateway=gateway)
    if used is not None:
        judge_repeat(session, outcome, used, snapshot.id)
        if outcome.is_ok and outcome.answer.generation != used.version:
            record.violation(
                "a publication repeated under its key returned another generation",
                found=outcome.answer.generation,
                expected=used.version,
            )
        return outcome
    is_older = snapshot.time < model.snapshot.time
    if not outcome.is_ok:
        if outcome.code != "FAILED_PRECONDITION" or not is_older or allow_older:
            record.violation(
                f"a snapshot was refused with {outcome.code}",
                message=outcome.message,
                reasons=outcome.reasons,
                is_older=is_older,
                allow_older=allow_older,
            )
            session.adopt("a snapshot was refused")
        return outcome
    answer = outcome.answer
    if is_older and not allow_older:
        record.violation("an older snapshot was accepted without allow_older")
    if answer.snapshot_id != snapshot.id:
        record.violation(
            "a snapshot has another id than its content",
            found=answer.snapshot_id,
            expected=snapshot.id,
        )
        session.adopt("another snapshot id")
        return outcome
    number = model.generation + (snapshot.id != model.snapshot_id)
    if answer.generation != number or answer.options != len(snapshot.options):
        record.violation(
            "the generation after a publication is not the next one",
            found=answer.generation,
            expected=number,
            request_id=request_id,
        )
    model.publish(snapshot, answer.generation)
    if key:
        model.publish_keys[key] = Used(snapshot.id, answer.generation)
    session.wait_for_generation("PublishSnapshot")
    return outcome


def _broken_streams(snapshot: MarketSnapshot) -> dict[str, Callable[[], Iterator[Any]]]:
    """Return streams that hold no snapshot, by what is wrong with them."""

    def changed(change: Callable[[list[Any]], None]) -> Callable[[], Iterator[Any]]:
        def make() -> Iterator[Any]:
            messages = list(publication(snapshot))
            change(messages)
            return iter(messages)

        return make

    def field(name: str, value: Any) -> Callable[[], Iterator[Any]]:
        def change(messages: list[Any]) -> None:
            getattr(messages[1].quotes, name)[3] = value

        return changed(change)

    def no_time(messages: list[Any]) -> None:
        messages[0].header.ClearField("time")

    def far_future(messages: list[Any]) -> None:
        messages[0].header.time.CopyFrom(stamp(datetime.now(UTC) + timedelta(days=3)))

    def no_index(messages: list[Any]) -> None:
        messages[0].header.ClearField("index_prices")

    def index_of(price: float) -> Callable[[list[Any]], None]:
        def change(messages: list[Any]) -> None:
            messages[0].header.index_prices[0].price_usd = price

        return change

    def forward(messages: list[Any]) -> None:
        messages[0].header.expiries[0].forward_usd = -5.0

    def twice(messages: list[Any]) -> None:
        messages[0].header.index_prices.append(messages[0].header.index_prices[0])

    def discount(messages: list[Any]) -> None:
        messages[0].header.discount_annual = float("nan")

    def short_column(messages: list[Any]) -> None:
        messages[1].quotes.bid.pop()

    empty = pb.PublishSnapshotRequest(header=pb.SnapshotHeader(), is_last=True)
    only_header = pb.PublishSnapshotRequest(header=header_of(snapshot), is_last=True)
    no_header = pb.PublishSnapshotRequest(quotes=quotes_of(snapshot, 0, 12), is_last=True)
    return {
        "nothing": lambda: iter(()),
        "an empty header": lambda: iter([empty]),
        "a header alone": lambda: iter([only_header]),
        "no header": lambda: iter([no_header]),
        "no end": changed(lambda m: m.pop()),
        "two headers": changed(lambda m: m.insert(1, m[0])),
        "no time": changed(no_time),
        "a time to come": changed(far_future),
        "no index": changed(no_index),
        "an index of zero": changed(index_of(0.0)),
        "an infinite index": changed(index_of(float("inf"))),
        "a negative forward": changed(forward),
        "an underlying twice": changed(twice),
        "no discount": changed(discount),
        "a short column": changed(short_column),
        "an unknown option": field("instrument_name", "FOO-1"),
        "an expired option": field("instrument_name", "BTC-7JAN20-50000-C"),
        "a future among options": field("instrument_name", "BTC-PERPETUAL"),
        "an infinite bid": field("bid", float("inf")),
        "a negative mark": field("mark", -1.0),
    }


class MarketRules(RuleBasedStateMachine):
    """See the module."""

    session: Session
    publication_keys = Bundle("publication_keys")

    @rule(target=publication_keys, minutes=st.sampled_from([0, 1, 30, 240, 240, 600, 1500, 3000]),
          steps=st.tuples(st.integers(-40, 40), st.integers(-60, 60)), vol=st.integers(-4, 4),
          keyed=st.booleans(), request_id=REQUEST_IDS, gateway=GATEWAYS)  # fmt: skip
    def publish(
        self,
        minutes: int,
        steps: tuple[int, int],
        vol: int,
        keyed: bool,
        request_id: str,
        gateway: int,
    ) -> str:
        """A later market: positions expire, prices move."""
        model = self.session.model
        spec = moved(model.latest, minutes, steps, vol)
        model.latest = spec
        key = self.session.fresh("publication") if keyed else ""
        send_snapshot(self.session, snapshot_of(spec), gateway, key=key, request_id=request_id)
        return key

    @rule(missing=st.sampled_from(["ETH", "BTC", ""]), expiry=st.integers(0, 4), gateway=GATEWAYS)
    def publish_a_market_with_gaps(self, missing: str, expiry: int, gateway: int) -> None:
        """An underlying or an expiry is not there: its positions cannot be priced for a while."""
        model = self.session.model
        spec = moved(model.latest, 1, (0, 0), 0)
        model.latest = spec
        if missing:
            spec = replace(spec, missing_underlying=missing)
        else:
            spec = replace(spec, missing_expiry=expiry)
        send_snapshot(self.session, snapshot_of(spec), gateway, kind="market with gaps")

    @rule(hours=st.integers(1, 72), allow=st.booleans(), gateway=GATEWAYS)
    def publish_an_older_market(self, hours: int, allow: bool, gateway: int) -> None:
        session = self.session
        spec = replace(
            session.model.latest, time=session.model.latest.time - timedelta(hours=hours)
        )
        send_snapshot(session, snapshot_of(spec), gateway, allow_older=allow, kind="older snapshot")

    @rule(gateway=GATEWAYS, request_id=REQUEST_IDS)
    def publish_the_same_market(self, gateway: int, request_id: str) -> None:
        session = self.session
        send_snapshot(
            session, session.model.snapshot, gateway, request_id=request_id, kind="same snapshot"
        )

    @rule(key=publication_keys, same=st.booleans(), gateway=GATEWAYS)
    def reuse_a_publication_key(self, key: str, same: bool, gateway: int) -> None:
        session = self.session
        used = session.model.publish_keys.get(key)
        if used is None:
            return
        snapshot = session.model.snapshots[str(used.content)]
        if not same:
            snapshot = snapshot_of(moved(session.model.latest, 2, (1, 1), 0))
        send_snapshot(session, snapshot, gateway, key=key, kind="publication key again")

    @rule(place=PLACES, gateway=GATEWAYS)
    def publish_garbage(self, place: int, gateway: int) -> None:
        spec = moved(self.session.model.latest, 1, (0, 0), 0)
        streams = _broken_streams(snapshot_of(spec))
        name = sorted(streams)[place % len(streams)]
        outcome = self.session.ordinary(
            "PublishSnapshot", streams[name](), gateway=gateway, expect=BAD, kind="broken snapshot"
        )
        if outcome.is_ok:
            self.session.record.violation(f"a snapshot with {name} was accepted")
            self.session.adopt(f"a snapshot with {name}")

    @rule(ratios=st.lists(st.one_of(
            st.sampled_from([1.0, 0.5, 2.0, 1e308, 1e-308, 5e-324, 0.0, -1.0, float("nan"),
                             float("inf"), 1e-12, 1e12]),
            st.floats(0.01, 100.0)), max_size=6),
          underlying=st.sampled_from(["BTC", "ETH", "", "FOO", "x" * 5000]),
          gateway=GATEWAYS)  # fmt: skip
    def surface(self, ratios: list[float], underlying: str, gateway: int) -> None:
        model = self.session.model
        request = pb.GetSurfaceRequest(underlying=underlying, strike_over_forward=ratios)
        known = underlying in model.snapshot.index_usd
        plain = all(0.001 <= r <= 1000.0 for r in ratios)
        expect = ("OK",) if known and plain else ("INVALID_ARGUMENT", "NOT_FOUND", "OK")
        outcome = self.session.ordinary("GetSurface", request, gateway=gateway, expect=expect)
        if not outcome.is_ok:
            return
        volatilities = [v for s in outcome.answer.slices for v in s.volatility]
        good = (
            all(0.0 < v < 1e3 for v in volatilities)
            if plain
            else all(v == v and abs(v) != float("inf") for v in volatilities)
        )
        if not known or not good or len(volatilities) != len(ratios) * len(outcome.answer.slices):
            self.session.record.violation(
                "a surface is not what was asked for",
                underlying=underlying,
                ratios=ratios,
                volatilities=volatilities[:20],
            )

    @precondition(lambda self: self.session.steps_since_build > 300)
    @rule(hours=st.sampled_from([0, 24, 240, 2_400]), gateway=GATEWAYS)
    def build_scenarios(self, hours: int, gateway: int) -> None:
        session = self.session
        session.steps_since_build = 0
        as_of = session.model.latest.time - timedelta(hours=hours)
        request = scenario_pb.BuildScenarioSetRequest(as_of=stamp(as_of))
        outcome = session.caller(gateway).call("BuildScenarioSet", request, seconds=120.0)
        if not outcome.is_ok:
            session.record.violation(
                f"BuildScenarioSet ended with {outcome.code}",
                message=outcome.message,
                reasons=outcome.reasons,
            )
        elif not session.learn_scenarios(outcome.answer.scenario_set.scenarios_id):
            session.record.violation("a stored scenario set has another content than its id")

    @rule(place=PLACES, strange=st.integers(0, 3), again=st.booleans(), other=st.booleans(),
          gateway=GATEWAYS, request_id=REQUEST_IDS)  # fmt: skip
    def activate_scenarios(
        self, place: int, strange: int, again: bool, other: bool, gateway: int, request_id: str
    ) -> None:
        session, model = self.session, self.session.model
        if strange == 0:
            unknown = (*STRANGE_TEXTS, "scenarios-" + "0" * 32)[place % (len(STRANGE_TEXTS) + 1)]
            request = scenario_pb.ActivateScenarioSetRequest(scenarios_id=unknown)
            expect = ("NOT_FOUND", "INVALID_ARGUMENT") if unknown == "" else ("NOT_FOUND",)
            session.ordinary(
                "ActivateScenarioSet", request, gateway=gateway, expect=expect, kind="unknown set"
            )
            return
        known = sorted(model.scenario_sets)
        key = session.fresh("activation")
        keys = sorted(model.activate_keys)
        if again and keys:
            key = keys[place % len(keys)]
        used = model.activate_keys.get(key)
        chosen = known[place % len(known)]
        if used is not None and not other:
            chosen = str(used.content)
        request = scenario_pb.ActivateScenarioSetRequest(scenarios_id=chosen, idempotency_key=key)

        def attempt(caller: Caller) -> Outcome:
            expect = ("OK", "ALREADY_EXISTS")
            return session.ordinary(
                "ActivateScenarioSet",
                request,
                caller=caller,
                expect=expect,
                request_id=request_id,
            )

        outcome = session.decided(attempt, gateway=gateway)
        if used is not None:
            judge_repeat(session, outcome, used, chosen)
        elif outcome.is_ok:
            number = model.generation + (chosen != model.scenarios_id)
            if outcome.answer.generation != number:
                session.record.violation(
                    "the generation after an activation is not the next one",
                    found=outcome.answer.generation,
                    expected=number,
                    request_id=request_id,
                )
            model.activate(chosen, outcome.answer.generation)
            model.activate_keys[key] = Used(chosen, outcome.answer.generation)
            session.wait_for_generation("ActivateScenarioSet")
