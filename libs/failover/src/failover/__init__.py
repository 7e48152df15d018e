"""Pure decisions of balancing, ejection, retries, budgets and deadlines."""

from failover.aperture import Aperture
from failover.balancer import Balancer
from failover.budget import Budget, BudgetPolicy
from failover.deadline import (
    attempt_deadline,
    conclusive,
    deadline_of,
    parse_millis,
    parse_retry_after,
)
from failover.ejection import Cause, EjectionPolicy
from failover.hedging import AnswerTimes, Hedging
from failover.idempotence import IDEMPOTENT_METHODS, Declared, may_run_twice
from failover.instance import Instance, in_brackets, without_brackets
from failover.outcome import (
    TABLE,
    Judgement,
    Outcome,
    Rule,
    Then,
    judge_loss,
    judge_response,
)
from failover.peak_ewma import Member
from failover.retry import Again, RetryPolicy, Stop, Stopped
from failover.retry_state import NoInstance, RetryState
from failover.tiers import EVERYBODY, Subset, Tiers

__all__ = [
    "EVERYBODY",
    "IDEMPOTENT_METHODS",
    "TABLE",
    "Again",
    "AnswerTimes",
    "Aperture",
    "Balancer",
    "Budget",
    "BudgetPolicy",
    "Cause",
    "Declared",
    "EjectionPolicy",
    "Hedging",
    "Instance",
    "Judgement",
    "Member",
    "NoInstance",
    "Outcome",
    "RetryPolicy",
    "RetryState",
    "Rule",
    "Stop",
    "Stopped",
    "Subset",
    "Then",
    "Tiers",
    "attempt_deadline",
    "conclusive",
    "deadline_of",
    "in_brackets",
    "judge_loss",
    "judge_response",
    "may_run_twice",
    "parse_millis",
    "parse_retry_after",
    "without_brackets",
]
