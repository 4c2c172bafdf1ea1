"""Decisions on deposits and withdrawals."""

from dataclasses import replace

from margin_actors.clearing.amounts import ASSETS, value_of
from margin_actors.clearing.calls import (
    Activity,
    CallStatus,
    PaymentPending,
    PaymentPosted,
    Treatment,
    frozen_treatment,
    payment_hash,
)
from margin_actors.clearing.house.account_events import WithdrawalChanged, WithdrawalStage
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    AttestPayment,
    ConfirmPayout,
    Deposit,
    RequestWithdrawal,
    ReturnPayout,
)
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.events import AlarmRaised, HouseAlarm
from margin_actors.clearing.house.state import HouseState, stored_call
from margin_actors.clearing.house.valuing import (
    PositionValue,
    account_resources,
    current_value,
    others_deficit_cents,
    requirement_cents,
    valuation,
)
from margin_actors.clearing.journal import Group
from margin_actors.clearing.journal.movements import (
    CollateralMovement,
    Coverage,
    announced_deposit,
    approved_withdrawal,
    cancelled_withdrawal,
    paid_withdrawal,
    received_deposit,
    requested_withdrawal,
    returned_withdrawal,
    withdrawable,
)
from margin_actors.clearing.journal.resources import resources
from margin_actors.errors import InvalidRequest, MissingMarketData


def on_attestation(draft: HouseDraft, command: AttestPayment) -> tuple[str, ...]:
    """Show a payment under way; it is not credited."""
    movement = _movement(draft, command)
    movement = replace(movement, valid_time=command.attested_at)
    if f"deposit:{command.payment_id}:received" in draft.state.journal.groups:
        return (command.payment_id,)
    group = announced_deposit(movement, expires_at=command.expires)
    if (changed := _changed_payment(draft, command, group)) or not draft.group(group):
        return changed or (command.payment_id,)
    rules = valuation(draft.state, PositionValue(), draft.state.prices)
    try:
        cents = resources({command.asset: command.units}, rules).total_cents
    except MissingMarketData as error:
        draft.alarm(HouseAlarm.PAYMENT_NOT_VALUED, command.account, f"{movement.id}: {error}")
        return (command.payment_id,)
    if cents > 0:
        content = payment_hash(
            command.payment_id,
            account=command.account,
            asset=command.asset.name,
            units=command.units,
            received_at=command.attested_at,
        )
        event = PaymentPending(command.payment_id, content, cents, command.expires)
        draft.call(command.account, command.call_class, event)
    return (command.payment_id,)


def on_deposit(draft: HouseDraft, command: Deposit) -> tuple[str, ...]:
    """Credit a deposit, and post it to the open call with the value by which resources grew."""
    movement = replace(_movement(draft, command), valid_time=command.received_at)
    group = received_deposit(draft.state.journal, movement, now=draft.time)
    if changed := _changed_payment(draft, command, group):
        return changed
    before = draft.state
    if not draft.group(group):
        return (command.payment_id,)
    call = stored_call(before, command.account, command.call_class)
    is_expected = any(one.payment_id == command.payment_id for one in call.attested)
    if not (call.is_open or is_expected or call.status is CallStatus.DEFAULT_DECLARED):
        return (command.payment_id,)
    try:
        cents = _gain_cents(before, draft.state, command.account)
    except MissingMarketData as error:
        draft.alarm(HouseAlarm.PAYMENT_NOT_VALUED, command.account, f"{movement.id}: {error}")
        return (command.payment_id,)
    if cents > 0:
        content = payment_hash(
            command.payment_id,
            account=command.account,
            asset=command.asset.name,
            units=command.units,
            received_at=command.received_at,
        )
        event = PaymentPosted(command.payment_id, content, cents, command.received_at)
        draft.call(command.account, command.call_class, event)
    return (command.payment_id,)


def on_withdrawal_request(draft: HouseDraft, command: RequestWithdrawal) -> tuple[str, ...]:
    """Set collateral aside; refused if what remains would not cover what is needed."""
    movement = CollateralMovement(
        command.request_id,
        _usable(draft, command.account),
        command.asset,
        command.units,
        command.custodian,
        draft.time,
    )
    _require_asset(command)
    if command.request_id in draft.state.withdrawals:
        refuse(HouseRule.KNOWN, f"withdrawal {command.request_id!r} is recorded already")
    covered = coverage(draft, command.account)
    limit = withdrawable(draft.state.journal, command.account, command.asset, covered)
    if command.units > limit:
        amounts = [f"{value_of(units, command.asset):f}" for units in (command.units, limit)]
        what = f"{amounts[0]} {command.asset.name} exceeds the withdrawable {amounts[1]}"
        refuse(HouseRule.NOT_COVERED, what)
    expires = draft.time + draft.state.parameters.withdrawal_time
    group = requested_withdrawal(draft.state.journal, movement, covered, expires_at=expires)
    draft.group(group)
    draft.log(WithdrawalChanged(movement, WithdrawalStage.REQUESTED, draft.actor))
    return (command.request_id,)


def on_withdrawal_approval(draft: HouseDraft, command: ApproveWithdrawal) -> tuple[str, ...]:
    """Let a requested withdrawal leave the account; what it leaves must still be covered."""
    request = _withdrawal(draft, command.request_id, WithdrawalStage.REQUESTED)
    if draft.state.requesters.get(request.id) == draft.actor:
        refuse(HouseRule.SAME_PERSON, f"{draft.actor} requested withdrawal {request.id!r}")
    _usable(draft, request.owner)
    covered = coverage(draft, request.owner)
    try:
        group = approved_withdrawal(draft.state.journal, request, covered, valid_time=draft.time)
    except InvalidRequest as error:
        refuse(HouseRule.NOT_COVERED, str(error))
    draft.group(group)
    draft.log(WithdrawalChanged(request, WithdrawalStage.APPROVED, draft.actor))
    return (request.id,)


def on_payout(draft: HouseDraft, command: ConfirmPayout) -> tuple[str, ...]:
    """Record that the custodian paid, also for a frozen account: the money has left."""
    request = _withdrawal(draft, command.request_id, WithdrawalStage.APPROVED)
    draft.group(paid_withdrawal(request, valid_time=draft.time))
    draft.log(WithdrawalChanged(request, WithdrawalStage.PAID, draft.actor))
    return (request.id,)


def on_return(draft: HouseDraft, command: ReturnPayout) -> tuple[str, ...]:
    """Credit a withdrawal that the custodian could not pay."""
    request = _withdrawal(draft, command.request_id, WithdrawalStage.APPROVED)
    draft.group(returned_withdrawal(request, valid_time=draft.time))
    draft.log(WithdrawalChanged(request, WithdrawalStage.RETURNED, draft.actor))
    return (request.id,)


def cancel_requests(draft: HouseDraft, account: str) -> None:
    """Release all requested withdrawals of an account that are not approved."""
    for name, known in draft.state.withdrawals.items():
        request = known.request
        if known.stage is WithdrawalStage.REQUESTED and request.owner == account:
            if f"withdrawal:{name}:request" in draft.state.journal.pending:
                journal = draft.state.journal
                draft.group(cancelled_withdrawal(journal, request, valid_time=draft.time))
            draft.log(WithdrawalChanged(request, WithdrawalStage.CANCELLED, draft.actor))


def coverage(draft: HouseDraft, account: str) -> Coverage:
    """Return what must remain covered by the resources of an account.

    It is refused while positions have changed after the last requirement, because what they need
    is not known before the next cycle. The deficit of accounts with which it nets is added.
    """
    state = draft.state
    for name in state.netted(account):
        margin = state.margin(name)
        if state.last_change(name).quantities > (0 if margin is None else margin.read_number):
            what = f"positions of {name} changed after its last requirement was calculated"
            refuse(HouseRule.REQUIREMENT_OUTDATED, what)
        if missing := current_value(state, name).missing:
            refuse(HouseRule.MISSING_DATA, f"{', '.join(missing)} of {name} cannot be valued")
    value = valuation(state, current_value(state, account), state.prices)
    needed = requirement_cents(state, account) + others_deficit_cents(state, account)
    return Coverage(value, needed, ASSETS)


def _movement(draft: HouseDraft, command: AttestPayment | Deposit) -> CollateralMovement:
    draft.account(command.account)
    _require_asset(command)
    return CollateralMovement(
        command.payment_id,
        command.account,
        command.asset,
        command.units,
        command.custodian,
        draft.time,
    )


def _require_asset(command: AttestPayment | Deposit | RequestWithdrawal) -> None:
    if ASSETS.get(command.asset.name) != command.asset:
        refuse(HouseRule.INVALID, f"{command.asset} is not one of {', '.join(ASSETS)}")


def _usable(draft: HouseDraft, account: str) -> str:
    """Return the account; refuse the withdrawal if the account is frozen or blocked."""
    draft.account(account)
    state = draft.state
    is_refused = frozen_treatment(Activity.WITHDRAWAL) is Treatment.REFUSE
    if account in state.frozen and is_refused:
        refuse(HouseRule.FROZEN, f"account {account} is frozen by {state.frozen[account]}")
    if account in state.blocked:
        calls = ", ".join(state.blocked[account])
        refuse(HouseRule.BLOCKED, f"withdrawals of {account} are blocked by {calls}")
    return account


def _changed_payment(
    draft: HouseDraft, command: AttestPayment | Deposit, group: Group
) -> tuple[str, ...]:
    """Raise an alarm if the payment is known with another content; return the alarm's id."""
    known = draft.state.journal.groups.get(group.id)
    if known is None or known.payload_hash == group.payload_hash:
        return ()
    what = f"payment {command.payment_id} arrived with another content: {command.units} units"
    alarm = AlarmRaised(HouseAlarm.PAYMENT_CHANGED, command.account, what, draft.command_id)
    draft.log(alarm)
    return (alarm.id,)


def _gain_cents(before: HouseState, after: HouseState, account: str) -> int:
    """Return by how much the resources of an account grew, US cents."""
    now = account_resources(after, account).total_cents
    return now - account_resources(before, account).total_cents


def _withdrawal(draft: HouseDraft, request_id: str, stage: WithdrawalStage) -> CollateralMovement:
    known = draft.state.withdrawals.get(request_id)
    if known is None:
        refuse(HouseRule.UNKNOWN, f"withdrawal {request_id!r} was not requested")
    if known.stage is not stage:
        what = f"withdrawal {request_id!r} is {known.stage.value}, not {stage.value}"
        refuse(HouseRule.WRONG_STAGE, what)
    return known.request
