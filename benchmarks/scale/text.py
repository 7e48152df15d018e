"""The report on a large fleet as Markdown."""

TEXT = """# A large fleet: {plan.gateways} gateways before {plan.instances:,} instances

{facts}

Simulated, reckoned and measured on one machine: no such fleet was run. `docs/scale.md` says what
follows from it.

![What an aperture changes](scale.svg)

## Simulated

{plan.gateways} gateways and {plan.instances:,} instances in {plan.zones} zones on a virtual clock.
The decisions are those of the real code: each gateway has the balancer of `libs/failover`, with its
ejections, probes, retries and retry budget. Each gateway has {plan.rate:g} requests a second; an
instance works on one request at a time, {plan.work:g} s on average (exponential), so it is busy
for {load:.0%} of the time. A connection is closed after 4 idle seconds. All requests may be
repeated. Nacos takes no bad instance out.

*every instance*: no zones, each gateway may call each instance. *aperture*: no zones, and each
gateway prefers about so many (`GATEWAY_APERTURE`). *own zone*: each gateway prefers the instances
of its zone (`NACOS_CLUSTER`); *own zone, aperture*: both.

All is well; loads as multiples of the mean, which chance alone moves too:

{peace}

Faults; an attempt is *bad* if it failed, and a request has *failed* if no attempt was answered:

{faults}

## Ways of sharing out

Loads follow from who prefers whom, without chance, as multiples of the mean. *Gateways uneven*:
they are not asked alike (log-normal, sigma {uneven:g}). *New* are pairs of a gateway and an
instance that were none before. *ring* is what the gateway does
(`libs/failover/src/failover/aperture.py`); *rendezvous* and *shuffle* are in
`benchmarks/scale/sharing.py`.

{sharing}

## Unit costs, measured

The gateway's own classes, {form}, and the client of Nacos, beside the Nacos in memory of the tests;
resident memory, without the kernel's for a socket; {pushes} pushes, each with one instance changed.

{units}

## Reckoned

{reckoning}
"""
