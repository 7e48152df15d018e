"""Pure decisions of balancing, ejection, retries, budgets and deadlines."""
