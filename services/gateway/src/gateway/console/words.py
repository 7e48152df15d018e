"""The words of the console, in English and Chinese.

Each language has every word, or the types do not hold; a test compares what is to be filled in.
"""

# ruff: noqa: RUF001, S106 - the punctuation of Chinese; words about a token are no token

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; `{name}` is filled in."""

    language: str
    title: str
    skip: str
    other_language: str
    version: str
    workers: str
    live: str
    still: str
    sign_in: str
    sign_out: str
    token: str
    wrong_token: str
    needs_token: str
    read_only: str
    all_well: str
    alert_check: str
    alert_refused: str
    alert_no_instance: str
    alert_ejected: str
    alert_worker: str
    services: str
    no_services: str
    service: str
    find: str
    more_services: str
    instances: str
    in_traffic: str
    one_canary: str
    canaries: str
    rate: str
    errors: str
    p50: str
    p99: str
    last_quarter: str
    in_flight: str
    queued: str
    budget: str
    budget_why: str
    asked_nacos: str
    asked_from_disk: str
    instance: str
    state: str
    load: str
    latency: str
    weight: str
    model_version: str
    zone: str
    action: str
    state_serving: str
    state_warming: str
    state_canary: str
    state_drained: str
    state_disabled: str
    state_unhealthy: str
    state_ejected: str
    some_workers: str
    probe_in: str
    probe_due: str
    cause_refused: str
    cause_consecutive_failures: str
    cause_success_rate: str
    cause_retry_after: str
    cause_draining: str
    close: str
    models: str
    models_told: str
    models_unread: str
    drift: str
    drift_of: str
    drift_index: str
    course: str
    drift_word: str
    drift_little: str
    drift_some: str
    drift_much: str
    drift_none: str
    classes: str
    class_of: str
    refused_inputs: str
    refused_none: str
    refused_reason: str
    share_whole: str
    share_last: str
    trouble: str
    releases: str
    no_releases: str
    canary_of: str
    canary_facts: str
    canary_absent: str
    canary_too_few: str
    canary_worse: str
    canary_slower: str
    canary_better: str
    canary_alike: str
    shadow_of: str
    shadow_facts: str
    shadow_too_few: str
    shadow_alike: str
    shadow_differs: str
    shadow_fails: str
    timeline: str
    no_events: str
    event_came: str
    event_left: str
    event_ejected: str
    event_returned: str
    event_applied: str
    event_refused: str
    event_worker_came: str
    event_worker_left: str
    event_drained: str
    event_undrained: str
    event_restored: str
    event_by: str
    and_more: str
    undo: str
    drain: str
    undrain: str
    restore: str
    ask_drain: str
    ask_undrain: str
    ask_restore: str
    ask_left: str
    ask_last: str
    cancel: str
    routes: str
    document_nacos: str
    document_default: str
    document_last_good: str
    document_refused: str
    document_line: str
    document_trouble: str
    by_name_all: str
    by_name_none: str
    by_name_some: str
    no_routes: str
    route: str
    path: str
    goes_to: str
    methods: str
    terms: str
    any_method: str
    term_timeout: str
    term_attempts: str
    term_conditions: str
    term_keys: str
    term_split: str
    term_shadow: str
    term_redirect: str
    where: str
    where_why: str
    method: str
    target: str
    fields: str
    ask: str
    answer_reply: str
    answer_unfollowed: str
    answer_route: str
    answer_service: str
    answer_times: str
    answer_limits: str
    answer_shares: str
    answer_share_of: str
    answer_rest: str
    answer_labels: str
    answer_group: str
    answer_group_last: str
    answer_nobody: str
    answer_repeatable: str
    answer_not_repeatable: str
    ground_method: str
    ground_route: str
    ground_service: str
    ground_nobody: str
    answer_hedged: str
    after: str
    outcome_refused: str
    outcome_stale: str
    outcome_broken: str
    outcome_timed_out: str
    outcome_garbled: str
    outcome_misframed: str
    outcome_unavailable: str
    outcome_declined: str
    outcome_cut: str
    then_never: str
    then_elsewhere: str
    then_elsewhere_once: str
    then_fresh: str
    nothing_to_do: str
    done: str
    done_here: str
    metrics: str
    api: str
    readiness: str
    apis: str
    own_api: str
    operations: str
    prefix: str
    no_prefix: str
    only_below: str
    try_wants_token: str
    refused_elsewhere: str
    unread: str
    trouble_unknown: str
    trouble_unasked: str
    trouble_no_instance: str
    trouble_none: str
    trouble_refused: str
    trouble_unreachable: str
    trouble_slow: str
    trouble_too_large: str
    trouble_no_json: str
    trouble_no_openapi: str

    def cause(self, name: str) -> str:
        """Return the cause of an ejection in words."""
        return {
            "refused": self.cause_refused,
            "consecutive-failures": self.cause_consecutive_failures,
            "success-rate": self.cause_success_rate,
            "retry-after": self.cause_retry_after,
            "draining": self.cause_draining,
        }.get(name, name)


ENGLISH = Words(
    language="en",
    title="Gateway",
    skip="To the services",
    other_language="中文",
    version="version {version}",
    workers="{running} workers",
    live="live",
    still="not live: reload the page",
    sign_in="Sign in",
    sign_out="Sign out",
    token="Admin token",
    wrong_token="This is not the admin token.",
    needs_token="The console shows nothing without the admin token (GATEWAY_ADMIN_TOKEN).",
    read_only="Nothing can be done here while the gateway has no GATEWAY_ADMIN_TOKEN.",
    all_well="Nothing is wrong that the gateway knows of.",
    alert_check="{name} is not well: {reason}",
    alert_refused="The newest routes document was refused; the one before is in force.",
    alert_no_instance="{service} has no instance in traffic.",
    alert_ejected="{service}: {count} of {all} instances are ejected.",
    alert_worker="Not every worker runs.",
    services="Services",
    no_services="No service is followed: no route names one, and nobody has asked for one.",
    service="Service",
    find="Find",
    more_services="{count} more services: find them by name.",
    instances="Instances",
    in_traffic="{serving} of {all} in traffic",
    one_canary="1 canary",
    canaries="{count} canaries",
    rate="Requests/s",
    errors="Errors",
    p50="p50",
    p99="p99",
    last_quarter="Last 15 minutes",
    in_flight="In flight",
    queued="{count} wait",
    budget="Retry budget",
    budget_why="retries left: a fifth of the requests of the last 10 s, and 10 a second",
    asked_nacos="Nacos vouched for the list {age} s ago.",
    asked_from_disk="Nacos has not answered for this service.",
    instance="Instance",
    state="State",
    load="In flight",
    latency="Latency",
    weight="Weight",
    model_version="Version",
    zone="Zone",
    action="Do",
    state_serving="in traffic",
    state_warming="warming up, {percent} % of its weight",
    state_canary="canary",
    state_drained="drained by an operator",
    state_disabled="disabled, or without weight",
    state_unhealthy="unhealthy in Nacos",
    state_ejected="ejected: {cause}",
    some_workers="in {some} of {all} workers",
    probe_in="next probe in {seconds} s",
    probe_due="the next request may probe it",
    cause_refused="it refuses connections",
    cause_consecutive_failures="5 failures in a row",
    cause_success_rate="under 80 % of its answers are good",
    cause_retry_after="it asked for a pause",
    cause_draining="it says that its process ends",
    close="Close",
    models="What its model meets and answers",
    models_told="{told} of {asked} instances told their metrics at {at}. They are asked while "
    "somebody looks, every 30 s; a course has up to {count} readings.",
    models_unread="The metrics of its instances cannot be read.",
    drift="Drift from the training data (PSI), of the instance that has the most",
    drift_of="Feature, or answer",
    drift_index="Index",
    course="Course",
    drift_word="Drift",
    drift_little="little",
    drift_some="some",
    drift_much="much: look into it",
    drift_none="No index of drift: there is nothing to compare with, or too little was answered.",
    classes="Shares of the classes in its answers",
    class_of="Class",
    refused_inputs="Share of refused inputs, by reason",
    refused_none="No input was refused.",
    refused_reason="Reason",
    share_whole="Since the start",
    share_last="Last reading",
    trouble="Instances out of traffic",
    releases="Canaries and shadows",
    no_releases="No route has a split or a shadow.",
    canary_of="Canary of {service}: {labels} gets {percent} % of {route}",
    canary_facts="{failed} of {attempts} attempts failed ({share} %), others: {rest} %; "
    "answers in {ms} ms, others in {rest_ms} ms.",
    canary_absent="No instance has these labels: the others serve its share.",
    canary_too_few="Too few requests to say anything.",
    canary_worse="Worse: it fails more often than chance explains. Take it back.",
    canary_slower="Slower: it takes more than twice as long as the others.",
    canary_better="Better: it fails less often than chance explains.",
    canary_alike="No difference that chance does not explain.",
    shadow_of="Shadow of {route}: copies go to {service}",
    shadow_facts="{agreed} agreed, {differed} differed, {failed} failed, {dropped} were not sent.",
    shadow_too_few="Too few copies were compared to say anything.",
    shadow_alike="Alike: the answers are the same.",
    shadow_differs="Different: {percent} % of the answers are not the same.",
    shadow_fails="Most copies are not answered.",
    timeline="What has changed",
    no_events="Nothing since the gateway started.",
    event_came="{what} came to {service}",
    event_left="{what} left {service}",
    event_ejected="{what} of {service} was ejected: {cause}",
    event_returned="{what} of {service} is back in traffic",
    event_applied="routes document {what} is in force ({detail})",
    event_refused="routes document {what} was refused: {detail}",
    event_worker_came="worker {what} serves",
    event_worker_left="worker {what} ended",
    event_drained="{what} of {service} was drained",
    event_undrained="{what} of {service} was let back",
    event_restored="the ejection of {what} of {service} was ended",
    event_by="by {by}",
    and_more="{count} more",
    undo="Undo",
    drain="Drain",
    undrain="Let back",
    restore="End ejection",
    ask_drain="Send nothing new to {instance} of {service}?",
    ask_undrain="Send requests to {instance} of {service} again?",
    ask_restore="End the ejection of {instance} of {service} now, without a probe?",
    ask_left="{left} of its {all} instances stay in traffic.",
    ask_last="No other instance is in traffic: its callers would get errors.",
    cancel="Cancel",
    routes="Routes",
    document_nacos="Document {version} of Nacos is in force.",
    document_default="No document is in force: the defaults are.",
    document_last_good="The last good document {version} is in force: Nacos has none now.",
    document_refused="The newest document was refused:",
    document_line="Line {line} of it:",
    document_trouble="Nacos could not be asked: {reason}",
    by_name_all="Every service is reachable as /SERVICE/...",
    by_name_none="No service is reachable by its name alone.",
    by_name_some="Reachable as /SERVICE/...: {names}",
    no_routes="There are no routes.",
    route="Route",
    path="Path",
    goes_to="Goes to",
    methods="Methods",
    terms="Terms",
    any_method="all",
    term_timeout="{seconds} s",
    term_attempts="{count} attempts",
    term_conditions="{count} conditions",
    term_keys="needs a key",
    term_split="split",
    term_shadow="copied to {service}",
    term_redirect="redirect to {to}",
    where="Where would this request go?",
    where_why="It is decided by the code that decides for clients. Nothing is sent or counted.",
    method="Method",
    target="Path and query",
    fields="Header fields, one a line",
    ask="Ask",
    answer_reply="Nowhere: the gateway would answer {status} itself: {detail}",
    answer_unfollowed="{service} is not followed: the first request would have Nacos asked.",
    answer_route="Route {route} {path}",
    answer_service="To {service}, as {target}",
    answer_times="An answer has {timeout} s, an attempt {per_try} s.",
    answer_limits="Limits of the route: {limits}",
    answer_shares="Shares: {shares}",
    answer_share_of="{percent} % to {labels}",
    answer_rest="all others",
    answer_labels="This time: {labels}",
    answer_group="Group {number}, {count} instances:",
    answer_group_last="Only if none of these is left, group {number}, {count} instances:",
    answer_nobody="No instance may get it: 503.",
    answer_repeatable="It may run twice: {ground}. Up to {attempts} attempts.",
    answer_not_repeatable="It must not run twice: {ground}. Up to {attempts} attempts, none after "
    "one that may have run.",
    ground_method="its method is idempotent (RFC 9110)",
    ground_route="the route says so",
    ground_service="every instance of the service declares it",
    ground_nobody="neither its method, nor the route, nor the service says that it may",
    answer_hedged="If it takes longer than 99 of 100 like it, a second instance is asked too.",
    after="After an attempt that ended with",
    outcome_refused="no connection",
    outcome_stale="a kept connection that had just closed",
    outcome_broken="the connection lost before an answer",
    outcome_timed_out="no answer in time",
    outcome_garbled="an answer that is no HTTP",
    outcome_misframed="an answer that contradicts itself",
    outcome_unavailable="502, 503 or 504",
    outcome_declined="503 that says it did not run",
    outcome_cut="an answer cut short",
    then_never="no other",
    then_elsewhere="another instance",
    then_elsewhere_once="another instance, once",
    then_fresh="again, on a new connection",
    nothing_to_do="Nothing to do: the instance is not there, or not ejected.",
    done="Done, in every gateway.",
    done_here="Done in this gateway alone: Nacos has not taken the order for the others.",
    metrics="Metrics",
    api="API",
    readiness="Readiness",
    apis="All APIs",
    own_api="The gateway's own admin API",
    operations="operations: {count}",
    prefix="Reached as",
    no_prefix="no route leads to all of it",
    only_below="{path}/... alone",
    try_wants_token="Nothing can be tried out here while the gateway has no GATEWAY_ADMIN_TOKEN; "
    "with GATEWAY_DOCS, APIs of services can at the data port.",
    refused_elsewhere="Only requests to the gateway are sent.",
    unread="The document cannot be read:",
    trouble_unknown="No service of this name is followed: no route names it, and nobody has asked "
    "for it.",
    trouble_unasked="It was not asked for its document yet, or has not answered: reload the page.",
    trouble_no_instance="None of its instances is in traffic.",
    trouble_none="It has no document: neither /openapi.json nor /v3/api-docs is there.",
    trouble_refused="It does not give its document: another status than 200.",
    trouble_unreachable="Its instance could not be reached.",
    trouble_slow="Its instance has not answered in time.",
    trouble_too_large="Its document has more than 2 MiB.",
    trouble_no_json="What it gives as its document is no JSON.",
    trouble_no_openapi="What it gives as its document is no OpenAPI document of version 3.",
)

CHINESE = Words(
    language="zh",
    title="网关",
    skip="跳到服务",
    other_language="English",
    version="版本 {version}",
    workers="{running} 个工作进程",
    live="实时",
    still="未实时更新：请刷新页面",
    sign_in="登录",
    sign_out="退出",
    token="管理令牌",
    wrong_token="管理令牌不正确。",
    needs_token="没有管理令牌（GATEWAY_ADMIN_TOKEN），控制台不显示任何内容。",
    read_only="网关未设置 GATEWAY_ADMIN_TOKEN，因此这里不能执行任何操作。",
    all_well="网关没有发现任何问题。",
    alert_check="{name} 不正常：{reason}",
    alert_refused="最新的路由文档被拒绝，之前的文档仍然生效。",
    alert_no_instance="{service} 没有接收流量的实例。",
    alert_ejected="{service}：{all} 个实例中有 {count} 个被摘除。",
    alert_worker="有工作进程没有运行。",
    services="服务",
    no_services="没有关注任何服务：没有路由指向服务，也没有请求提到服务。",
    service="服务",
    find="查找",
    more_services="还有 {count} 个服务：请按名称查找。",
    instances="实例",
    in_traffic="{all} 个中有 {serving} 个接收流量",
    one_canary="1 个金丝雀",
    canaries="{count} 个金丝雀",
    rate="请求/秒",
    errors="错误",
    p50="p50",
    p99="p99",
    last_quarter="最近 15 分钟",
    in_flight="处理中",
    queued="{count} 个排队",
    budget="重试预算",
    budget_why="剩余重试次数：最近 10 秒请求数的五分之一，加每秒 10 次",
    asked_nacos="Nacos 在 {age} 秒前确认了实例列表。",
    asked_from_disk="Nacos 还没有对该服务作出应答。",
    instance="实例",
    state="状态",
    load="处理中",
    latency="延迟",
    weight="权重",
    model_version="版本",
    zone="区域",
    action="操作",
    state_serving="接收流量",
    state_warming="预热中，权重的 {percent} %",
    state_canary="金丝雀",
    state_drained="已被运维人员排空",
    state_disabled="已禁用或无权重",
    state_unhealthy="Nacos 中不健康",
    state_ejected="已摘除：{cause}",
    some_workers="{all} 个工作进程中的 {some} 个",
    probe_in="{seconds} 秒后下次探测",
    probe_due="下一个请求可以探测它",
    cause_refused="拒绝连接",
    cause_consecutive_failures="连续 5 次失败",
    cause_success_rate="成功率低于 80 %",
    cause_retry_after="它要求暂停",
    cause_draining="它表示其进程即将结束",
    close="关闭",
    models="模型收到的输入与给出的回答",
    models_told="{asked} 个实例中有 {told} 个在 {at} 提供了指标。"
    "仅在有人查看时每 30 秒询问一次；走势最多包含 {count} 次读数。",
    models_unread="无法读取其实例的指标。",
    drift="与训练数据的偏移（PSI），取偏移最大的实例",
    drift_of="特征或回答",
    drift_index="指数",
    course="走势",
    drift_word="偏移",
    drift_little="很小",
    drift_some="有一些",
    drift_much="很大：请查明原因",
    drift_none="没有偏移指数：没有可比较的数据，或回答得太少。",
    classes="回答中各类别的占比",
    class_of="类别",
    refused_inputs="被拒绝的输入占比（按原因）",
    refused_none="没有输入被拒绝。",
    refused_reason="原因",
    share_whole="启动以来",
    share_last="最近一次读数",
    trouble="不接收流量的实例",
    releases="金丝雀与影子流量",
    no_releases="没有路由设置分流或影子流量。",
    canary_of="{service} 的金丝雀：{labels} 得到 {route} 的 {percent} %",
    canary_facts="{attempts} 次尝试中 {failed} 次失败（{share} %），其他实例：{rest} %；"
    "应答用时 {ms} 毫秒，其他实例 {rest_ms} 毫秒。",
    canary_absent="没有实例带有这些标签：其份额由其他实例处理。",
    canary_too_few="请求太少，无法判断。",
    canary_worse="更差：失败之多不能用偶然解释。请撤回。",
    canary_slower="更慢：用时是其他实例的两倍以上。",
    canary_better="更好：失败之少不能用偶然解释。",
    canary_alike="没有偶然之外的差别。",
    shadow_of="{route} 的影子流量：副本发往 {service}",
    shadow_facts="{agreed} 个一致，{differed} 个不同，{failed} 个失败，{dropped} 个未发送。",
    shadow_too_few="比较过的副本太少，无法判断。",
    shadow_alike="一致：应答相同。",
    shadow_differs="不同：{percent} % 的应答不一样。",
    shadow_fails="多数副本没有得到应答。",
    timeline="发生了什么变化",
    no_events="网关启动以来没有变化。",
    event_came="{what} 加入 {service}",
    event_left="{what} 离开 {service}",
    event_ejected="{service} 的 {what} 被摘除：{cause}",
    event_returned="{service} 的 {what} 恢复接收流量",
    event_applied="路由文档 {what} 生效（{detail}）",
    event_refused="路由文档 {what} 被拒绝：{detail}",
    event_worker_came="工作进程 {what} 开始服务",
    event_worker_left="工作进程 {what} 结束",
    event_drained="{service} 的 {what} 被排空",
    event_undrained="{service} 的 {what} 被放回",
    event_restored="{service} 的 {what} 的摘除被取消",
    event_by="操作者 {by}",
    and_more="另外 {count} 个",
    undo="撤销",
    drain="排空",
    undrain="放回",
    restore="取消摘除",
    ask_drain="不再向 {service} 的 {instance} 发送新请求？",
    ask_undrain="重新向 {service} 的 {instance} 发送请求？",
    ask_restore="不经探测，立即取消 {service} 的 {instance} 的摘除？",
    ask_left="其 {all} 个实例中有 {left} 个继续接收流量。",
    ask_last="没有其他实例接收流量：调用者会收到错误。",
    cancel="取消",
    routes="路由",
    document_nacos="Nacos 的文档 {version} 生效中。",
    document_default="没有文档生效：使用默认值。",
    document_last_good="最后一份正确的文档 {version} 生效中：Nacos 中已没有文档。",
    document_refused="最新的文档被拒绝：",
    document_line="其第 {line} 行：",
    document_trouble="无法询问 Nacos：{reason}",
    by_name_all="每个服务都可以通过 /SERVICE/... 访问。",
    by_name_none="没有服务可以仅凭名称访问。",
    by_name_some="可以通过 /SERVICE/... 访问：{names}",
    no_routes="没有路由。",
    route="路由",
    path="路径",
    goes_to="去向",
    methods="方法",
    terms="条件",
    any_method="全部",
    term_timeout="{seconds} 秒",
    term_attempts="{count} 次尝试",
    term_conditions="{count} 个条件",
    term_keys="需要密钥",
    term_split="分流",
    term_shadow="复制到 {service}",
    term_redirect="重定向到 {to}",
    where="这个请求会去哪里？",
    where_why="由处理客户端请求的同一段代码决定。不发送，也不计数。",
    method="方法",
    target="路径与查询",
    fields="请求头，每行一个",
    ask="询问",
    answer_reply="哪里也不去：网关自己应答 {status}：{detail}",
    answer_unfollowed="{service} 未被关注：第一个请求会让网关询问 Nacos。",
    answer_route="路由 {route} {path}",
    answer_service="发往 {service}，目标 {target}",
    answer_times="应答限时 {timeout} 秒，每次尝试 {per_try} 秒。",
    answer_limits="路由的限制：{limits}",
    answer_shares="份额：{shares}",
    answer_share_of="{percent} % 到 {labels}",
    answer_rest="所有其他",
    answer_labels="这一次：{labels}",
    answer_group="第 {number} 组，{count} 个实例：",
    answer_group_last="仅当以上都用尽时，第 {number} 组，{count} 个实例：",
    answer_nobody="没有实例可以接收：503。",
    answer_repeatable="可以执行两次：{ground}。最多 {attempts} 次尝试。",
    answer_not_repeatable="不可以执行两次：{ground}。最多 {attempts} 次尝试，"
    "可能已执行的尝试之后不再重试。",
    ground_method="其方法是幂等的（RFC 9110）",
    ground_route="路由如此规定",
    ground_service="服务的每个实例都如此声明",
    ground_nobody="方法、路由和服务都没有说可以",
    answer_hedged="如果用时超过同类请求的 99 %，会同时询问第二个实例。",
    after="尝试的结果",
    outcome_refused="无法连接",
    outcome_stale="保持的连接刚好关闭",
    outcome_broken="应答前连接断开",
    outcome_timed_out="超时未应答",
    outcome_garbled="应答不是 HTTP",
    outcome_misframed="应答自相矛盾",
    outcome_unavailable="502、503 或 504",
    outcome_declined="503，并说明未执行",
    outcome_cut="应答中断",
    then_never="不再尝试",
    then_elsewhere="换一个实例",
    then_elsewhere_once="换一个实例，仅一次",
    then_fresh="用新连接再试",
    nothing_to_do="无事可做：实例不存在，或没有被摘除。",
    done="已在所有网关完成。",
    done_here="仅在本网关完成：Nacos 没有为其他网关接受该命令。",
    metrics="指标",
    api="接口",
    readiness="就绪状态",
    apis="全部接口",
    own_api="网关自身的管理接口",
    operations="操作：{count} 个",
    prefix="访问路径",
    no_prefix="没有路由通向整个服务",
    only_below="仅 {path}/...",
    try_wants_token="网关未设置 GATEWAY_ADMIN_TOKEN，因此这里不能试用接口；"
    "设置 GATEWAY_DOCS 后可以在数据端口试用各服务的接口。",
    refused_elsewhere="只发送到网关的请求。",
    unread="无法读取文档：",
    trouble_unknown="没有关注这个名称的服务：没有路由指向它，也没有请求提到它。",
    trouble_unasked="还没有向它请求文档，或它还没有应答：请刷新页面。",
    trouble_no_instance="它没有接收流量的实例。",
    trouble_none="它没有文档：/openapi.json 与 /v3/api-docs 都不存在。",
    trouble_refused="它不提供文档：状态不是 200。",
    trouble_unreachable="无法连接它的实例。",
    trouble_slow="它的实例没有及时应答。",
    trouble_too_large="它的文档超过 2 MiB。",
    trouble_no_json="它提供的文档不是 JSON。",
    trouble_no_openapi="它提供的文档不是第 3 版 OpenAPI 文档。",
)

LANGUAGES: Mapping[str, Words] = MappingProxyType({"en": ENGLISH, "zh": CHINESE})


def preferred(accept_language: str) -> str:
    """Return the language that a browser wants most, of those that there are; else English."""
    wanted = []
    for place, one in enumerate(accept_language[:1000].split(",")):
        tag, _, quality = one.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > 0:
            wanted.append((-weight, place, language))
    return min(wanted)[2] if wanted else "en"
