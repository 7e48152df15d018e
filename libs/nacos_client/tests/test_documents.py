"""Documents: what is read, what is refused, and with which words."""

import json
import math
from contextlib import suppress
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st
from nacos_client.documents import MAX_CHARACTERS, kind_of, layered, parse, validated
from nacos_client.errors import BadDocument
from nacos_client.ports import Document
from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """A part."""

    per_minute: int = 60


class Model(BaseModel):
    """A whole; it does not forbid unknown keys itself."""

    model_config = ConfigDict(extra="ignore")

    clusters: int = Field(default=3, ge=1)
    engine: Literal["table", "estimator"] = "table"
    ratio: float = 0.5
    names: tuple[str, ...] = ()
    limits: Limits = Limits()
    token: str = ""


def read(content: str, data_id: str = "models.yaml") -> Model:
    return validated(Model, [(data_id, Document(content, "md5"))])


@pytest.mark.parametrize(
    ("data_id", "content"),
    [
        ("models", "clusters: 4\nnames: [a, b]\nlimits:\n  per_minute: 5"),
        ("models.json", '{"clusters": 4, "names": ["a", "b"], "limits": {"per_minute": 5}}'),
        ("models.toml", 'clusters = 4\nnames = ["a", "b"]\n[limits]\nper_minute = 5'),
        ("models.properties", "clusters=4\nnames[0]=a\nnames[1]: b\n# c\nlimits.per_minute = 5"),
    ],
)
def test_every_type_reads_the_same(data_id: str, content: str) -> None:
    """YAML, JSON, TOML and properties give the same model from the same facts."""
    expected = Model(clusters=4, names=("a", "b"), limits=Limits(per_minute=5))
    assert read(content, data_id) == expected


@pytest.mark.parametrize("content", ["", "  \n", "# only a comment\n", "{}"])
def test_an_empty_document_means_the_defaults(content: str) -> None:
    """A document that says nothing is not an error."""
    assert read(content) == Model()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("clusters: abc", "clusters: Input should be a valid integer, not text"),
        ('clusters: "4"', 'clusters: Input should be a valid integer, not "4"'),
        ("clusters: 0", "clusters: Input should be greater than or equal to 1, not 0"),
        ("clusters: 4.5", "clusters: Input should be a valid integer"),
        ("clusters: true", "clusters: Input should be a valid integer, not true"),
        ("clusters: [4]", "clusters: Input should be a valid integer, not a list"),
        ("ratio: {a: 1}", "ratio: Input should be a valid number, not a mapping"),
        ("engine: tabel", "engine: Input should be 'table' or 'estimator', not \"tabel\""),
        ("engine: " + "x" * 50, "'estimator', not \"" + "x" * 39 + "..."),
        ("limits: {per_minute: ~}", "limits.per_minute: Input should be a valid integer, not null"),
        ("clustres: 4", "clustres: unknown key; did you mean clusters?"),
        ("limits:\n  perminute: 4", "limits.perminute: unknown key; did you mean per_minute?"),
        ("zzz: 4", "zzz: unknown key; known are clusters, engine, limits, names, per_minute"),
        ("- a\n- b", "models.yaml is list, not a mapping of keys to values"),
        ("just text", "models.yaml is str, not a mapping of keys to values"),
        ("clusters: [", "models.yaml is not yaml: while parsing"),
        ("clusters: 1\nclusters: 2", "the key 'clusters' is there twice, again in line 2"),
        (
            "clusters: 0\nengine: x",
            "clusters: Input should be greater than or equal to 1, not 0; engine",
        ),
        ("clusters: 4\n!!binary eA==: x", "line 2: a key that is no plain text"),
        ("? [a]\n: 1", "line 1: a key that is no plain text"),
        ("? {a: 1}\n: 1", "line 1: a key that is no plain text"),
        ("limits: &x {per_minute: *x}", "line 1: an alias to what it stands in"),
        ("a: 1\nclusters: !!bool maybe", "line 2: a value that is no bool"),
        ('clusters: !!int ""', "line 1: a value that is no int"),
        ("clusters: !!timestamp no", "line 1: a value that is no timestamp"),
        ("clusters: 2024-13-01", "line 1: a date in YAML 1.1, text in YAML 1.2"),
        ("clusters: !!map [1]", "models.yaml is not yaml: expected a mapping node"),
        ("clusters: 0x" + "f" * 5000, "cannot be read as plain values: Exceeds"),
    ],
)
def test_a_bad_document_is_explained(content: str, reason: str) -> None:
    """The reason is one line with every bad key."""
    with pytest.raises(BadDocument) as caught:
        read(content)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "token: {hidden: 271828}",
        "token: 271828",
        "clusters: x271828",
        "token: 0271801",
        "token: 27182:18",
        "token: 2718_2818",
    ],
)
def test_a_reason_repeats_no_value(content: str) -> None:
    """What stands in a document may be secret, but for a number where a number must stand."""
    with pytest.raises(BadDocument) as caught:
        read(content)
    assert "2718" not in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        *((number, "base 60") for number in ("1:30", "-1:30", "22:22", "1:30:15", "1:30.5")),
        *((number, "a number with _") for number in ("1_0", "1_0.5", ".5_0", "0x_f", "0b1_1")),
        *((number, "octal, binary") for number in ("010", "-07", "0b11", "+0b1", "-0x1f")),
        *((number, "a number in YAML 1.2") for number in ("08", "1e3", "1.5E3", "-.5", "0o10")),
        *((word, ".*write true or false") for word in ("yes", "No", "ON", "off")),
        *((date, "a date") for date in ("2024-01-01", "2024-01-01 10:00:00", "2024-13-01")),
        ("=", "a lone ="),
    ],
)
def test_a_plain_value_with_two_readings_is_refused(plain: str, reason: str) -> None:
    """What YAML 1.1 and 1.2 read differently is refused, as a value and as a key.

    In quotes, or with a tag, it has one reading.
    """
    for content in (f"token: {plain}", f"a: 1\ntoken: [{plain}]", f"? {plain}\n: 1"):
        with pytest.raises(BadDocument, match=rf"line .: {reason}.* or quote the text"):
            parse(content, "yaml")
    assert parse(f"'{plain}': \"{plain}\"", "yaml") == {plain: plain}
    assert parse(f"token: !!str {plain}", "yaml") == {"token": plain}


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        *(("10", 10), ("-1", -1), ("+1", 1), ("0", 0), ("0x1f", 31)),
        *(("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("01.5", 1.5), ("1.0e+3", 1000.0)),
        *((".inf", math.inf), ("-.INF", -math.inf), ("true", True), ("FALSE", False)),
        *(("~", None), ("null", None), ("", None), ("y", "y"), ("yes!", "yes!")),
        *(("99:99", "99:99"), ("1.1.0", "1.1.0"), ("10.0.0.1:80", "10.0.0.1:80"), ("_1", "_1")),
    ],
)
def test_a_plain_value_with_one_reading_is_read(plain: str, value: object) -> None:
    """YAML 1.1 and 1.2 agree about numbers of common form, `true`, `null` and most text."""
    assert parse(f"token: {plain}", "yaml") == {"token": value}


@pytest.mark.parametrize("key", ["1.50", "0x1f", "True", "~", "1", "name"])
def test_a_key_is_its_spelling(key: str) -> None:
    """A key is text in every type of document: none becomes another text by being a number."""
    assert parse(f"{key}: 1\nlimits: {{<<: {{{key}: 2}}}}", "yaml") == {key: 1, "limits": {key: 2}}


@pytest.mark.parametrize("inner", ["a: 1, a: 2", "2024-01-01: x", "? [a] : 1"])
def test_what_is_merged_has_the_same_rules(inner: str) -> None:
    """A key that is refused elsewhere is also refused in a mapping that is merged in place."""
    with pytest.raises(BadDocument, match="line 1"):
        parse(f"limits: {{<<: {{{inner}}}}}", "yaml")


def test_properties_are_text_that_is_read_as_the_model_wants() -> None:
    """`4` is a number where the model wants one, and text where it wants text."""
    model = read("clusters=4\ntoken=4\nratio=1", "models.properties")
    assert (model.clusters, model.token, model.ratio) == (4, "4", 1.0)
    with pytest.raises(BadDocument, match="clusters"):
        read("clusters=four", "models.properties")
    for content in ("limits=1\nlimits.per_minute=4", "limits.per_minute=4\nlimits=1"):
        with pytest.raises(BadDocument, match="has a value"):
            read(content, "models.properties")


def test_the_order_of_properties_means_nothing() -> None:
    """Java's properties have no order: a list's items are in the order of their indexes."""
    names = "".join(f"names[{index}]=name {index}\n" for index in (10, 2, *range(2), *range(3, 10)))
    assert read(names, "models.properties").names == tuple(f"name {index}" for index in range(11))
    with pytest.raises(BadDocument, match="names: Input should be a valid"):
        read("names[0]=a\nnames[2]=c", "models.properties")


def test_properties_are_read_as_java_reads_them() -> None:
    """The rules themselves are tried in `test_properties.py`; here with a document's own limits."""
    model = read("token \\u805a\\\n  x\nclusters 4", "models.properties")
    assert (model.token, model.clusters) == ("\u805ax", 4)
    with pytest.raises(
        BadDocument, match=r"models\.properties is not properties: line 2: .u is not"
    ):
        read("clusters=4\ntoken=\\u12", "models.properties")


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("yaml", "clusters: 4"),
        ("json", '{"clusters": 4}'),
        ("toml", "clusters = 4"),
        ("properties", "clusters=4"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_document(ending: str, content: str) -> None:
    """Editors of Windows put it before the text; alone, it is an empty document."""
    assert read("\ufeff" + content, f"models.{ending}") == Model(clusters=4)
    assert read("\ufeff", f"models.{ending}") == Model()


def test_a_document_that_grows_is_refused() -> None:
    """Neither a long document nor one whose aliases multiply fills the memory."""
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    long = f"a0: &a0 [{'x' * 100_000}]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 10)
    )
    for text in (bomb, long):
        with pytest.raises(BadDocument, match="aliases make it longer than"):
            parse(text, "yaml")
    with pytest.raises(BadDocument, match="longer than"):
        parse("#" * (MAX_CHARACTERS + 1), "yaml")
    with pytest.raises(BadDocument, match="is not json"):
        parse("[" * 100_000, "json")


def test_many_aliases_are_fine_while_what_they_make_is_small() -> None:
    """How often something is named again does not matter, only how long it all becomes."""
    parsed = parse("names: [&a ann" + ", *a" * 99 + "]", "yaml")
    assert parsed["names"] == ["ann"] * 100


def test_a_merge_key_is_fine() -> None:
    """YAML's own layers work: `<<` takes a mapping over."""
    parsed = parse("base: &b {per_minute: 1}\nlimits:\n  <<: *b", "yaml")
    assert parsed["limits"] == {"per_minute": 1}


@pytest.mark.parametrize(
    ("data_id", "noted", "kind"),
    [
        ("models", "", "yaml"),
        ("models", "json", "json"),
        ("models", "text", "yaml"),
        ("models.yml", "json", "yaml"),
        ("models.PROPERTIES", "", "properties"),
        ("com.example.models", "toml", "toml"),
    ],
)
def test_the_ending_wins_over_the_note(data_id: str, noted: str, kind: str) -> None:
    """A type is told by the id's ending, else by Nacos, else it is YAML."""
    assert kind_of(data_id, noted) == kind


def test_layers_merge_mappings_and_replace_the_rest() -> None:
    """As in Spring: a stronger source replaces a list as a whole and a mapping key by key."""
    weak = {"a": {"x": 1, "y": 1}, "l": [1, 2], "only": 1}
    strong = {"a": {"y": 2}, "l": [3]}
    assert layered([weak, strong]) == {"a": {"x": 1, "y": 2}, "l": [3], "only": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values), st.dictionaries(st.text(), values))
def test_layering_keeps_what_is_not_covered(weak: dict[str, Any], strong: dict[str, Any]) -> None:
    """Nothing over a document, or it over nothing, is the document; no key is lost."""
    assert layered([weak]) == weak == layered([{}, weak]) == layered([weak, {}])
    merged = layered([weak, strong])
    assert set(merged) == set(weak) | set(strong)
    assert layered([weak, strong, strong]) == merged


@given(st.text(max_size=200), st.sampled_from(["yaml", "json", "toml", "properties"]))
def test_any_text_is_read_or_refused(content: str, kind: str) -> None:
    """No text makes reading or validating fail in any other way than by saying that it is bad."""
    with suppress(BadDocument):
        read(content, f"models.{kind}")


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(max_size=20), finite | values, max_size=3))
def test_json_read_as_yaml_is_the_same_or_refused(document: dict[str, Any]) -> None:
    """JSON is YAML of version 1.2: none of its values may become another one.

    PyYAML leaves a character of two escapes in two halves, which a model reads as one again.
    """
    with suppress(BadDocument):
        assert json.loads(json.dumps(parse(json.dumps(document), "yaml"))) == document


plain = st.sampled_from(
    ["a", "1", "x y", "~", ".nan", "2024-01-01", "0x1f", "!!bool a", '!!int ""']
)
tagged = st.sampled_from(["!!float x", "!!timestamp x", "!!binary x", "!!set {a, b}", "!!omap [1]"])
yaml = st.recursive(
    plain | tagged | st.just("&x [*x]") | st.just("&y {a: *y}"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"? {key} : {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@given(yaml, yaml)
def test_any_yaml_is_read_or_refused(weak: str, strong: str) -> None:
    """Neither do keys, tags and aliases of any kind, nor two such documents over each other."""
    documents = [Document(f"{{? limits : {text}}}", "md5") for text in (weak, strong)]
    with suppress(BadDocument):
        validated(Model, [("models.yaml", document) for document in documents])


@pytest.mark.parametrize(
    "content",
    [
        "clusters: 3\nratio: x\n",
        "clusters: 3\nclustrs: 4\nratio: 1\n",
        "limits:\n  per_minute: x\nratio: 1\n",
        "names:\n  - 7\n  - b\n",
        "ratio: 1\nratio: 2\n",
        "clusters: 3\nratio: 010\nnames: []\n",
        "clusters: 3\n  ratio: 1\n",
    ],
)
def test_the_wrong_line_is_found(content):
    """Whoever wrote the document is told the line: here the second, whatever is wrong with it."""
    with pytest.raises(BadDocument) as told:
        read(content)

    assert told.value.line == 2


def test_no_line_is_made_up():
    """Of several documents, one that is no YAML, or the whole of one, no line is told."""
    with pytest.raises(BadDocument) as told:
        validated(Model, [("a", Document("clusters: x", "1")), ("b", Document("ratio: 1", "2"))])
    assert told.value.line is None
    with pytest.raises(BadDocument) as told:
        read('{"clusters": "x"}', "models.json")
    assert told.value.line is None
