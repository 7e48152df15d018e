"""Pure decisions of balancing, ejection, retries, budgets and deadlines."""

from failover.balance import Member
from failover.budget import Budget, BudgetPolicy
from failover.deadline import (
    attempt_deadline,
    conclusive,
    deadline_of,
    parse_millis,
    remaining_millis,
    retry_after,
)
from failover.declared import Declared
from failover.ejection import Cause, EjectionPolicy
from failover.instance import Instance
from failover.outcome import (
    IDEMPOTENT_METHODS,
    TABLE,
    Outcome,
    Rule,
    Then,
    classify_loss,
    classify_status,
)
from failover.pool import Pool
from failover.retry import Again, RetryPolicy, Stop, Stopped
from failover.tiers import EVERYBODY, Subset
from failover.tries import Nobody, Tries

__all__ = [
    "EVERYBODY",
    "IDEMPOTENT_METHODS",
    "TABLE",
    "Again",
    "Budget",
    "BudgetPolicy",
    "Cause",
    "Declared",
    "EjectionPolicy",
    "Instance",
    "Member",
    "Nobody",
    "Outcome",
    "Pool",
    "RetryPolicy",
    "Rule",
    "Stop",
    "Stopped",
    "Subset",
    "Then",
    "Tries",
    "attempt_deadline",
    "classify_loss",
    "classify_status",
    "conclusive",
    "deadline_of",
    "parse_millis",
    "remaining_millis",
    "retry_after",
]
