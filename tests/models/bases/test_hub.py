"""The hub's real client against a small hub on 127.0.0.1: what is fetched, what is refused, and that nothing hangs."""

import hashlib
import json
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
from samples.tiny_models import save_tiny_model
from servers.loopback import Answer, Hang, Loopback, Reset, ServerError, Truncated

from embargo.data_loaders.errors import ConfigError, LeakError, MissingPartError, ServiceError
from embargo.models.bases import hub
from embargo.models.bases.registry import last_instant, registered
from embargo.models.bases.resolve import resolve_base
from embargo.models.bases.vintages import open_vintages, series_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "meta-llama/Llama-3.2-1B"


look_up = socket.getaddrinfo


def only_here(host, *rest, **named):
    assert host == "127.0.0.1", f"{host} was looked up"
    return look_up(host, *rest, **named)


class TinyHub:
    """Serves the same files under one name or several; ``asked`` names those whose content was sent, in order."""

    def __init__(self, files, names=(NAME,)):
        self.files, self.names = files, names
        self.asked, self.sent = [], set()

    def __call__(self, request):
        name = next((name for name in self.names if name in request.path), NAME)
        model = f"/api/models/{name}"
        if request.path in (model, f"{model}/revision/{COMMIT}", f"{model}/revision/main"):
            return Answer(body={"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in self.files]})
        file = request.path.removeprefix(f"/{name}/resolve/{COMMIT}/")
        if file not in self.files:
            return Answer(404, headers={"X-Error-Code": "RepoNotFound"})
        content = self.files[file]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if request.method == "HEAD":
            return Answer(body=content, headers=headers | {"Content-Length": str(len(content))})
        self.asked.append(file)
        self.sent.add(name)
        return Answer(body=content, headers=headers)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = save_tiny_model("llama", tmp_path_factory.mktemp("hub") / "llama", layers=1)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Switch the client to a hub that serves these files, with an empty cache and little patience."""
    from huggingface_hub import constants

    servers = []

    def start(files, *names):
        small = TinyHub(files, names or (NAME,))
        server = Loopback(small)
        servers.append(server.__enter__())
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(socket, "getaddrinfo", only_here)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(hub, "ANSWER_S", 1.0)
        monkeypatch.setattr(hub, "PATIENCE_S", 2.0)
        monkeypatch.setattr(hub, "STALL_S", 2.0)
        monkeypatch.setattr(hub, "STEP_S", 0.05)
        return server, small

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_only_what_a_base_needs_is_fetched_and_it_can_be_loaded(serve, files):
    from embargo.models.loading.load import load_classifier

    noise = {"README.md": b"x", "pytorch_model.bin": b"x", "consolidated.safetensors": b"x", "onnx/config.json": b"{}"}
    _, small = serve(files | noise)
    base = resolve_base(NAME)
    assert not set(small.asked) & set(noise)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(small.asked)
    assert base.revision == COMMIT
    assert base.knowledge_cutoff == last_instant(registered()[NAME].knowledge_cutoff)
    assert load_classifier(base, method="lora", compute="fp32")[1] == ["score"]
    once = list(small.asked)
    assert resolve_base(NAME, revision=COMMIT).weights_hash == base.weights_hash
    assert small.asked == once, "the cache answers"


CHRONO = "manelalab/chrono-bert-v1"


def test_of_a_registered_series_only_the_vintages_that_are_needed_are_fetched(serve, files):
    days = [f"{year}-12-31" for year in range(1999, 2025)]
    vintages = series_of(CHRONO.title())
    assert list(vintages) == days
    assert set(vintages.values()) <= set(registered())
    _, small = serve(files, *vintages.values())
    ends = {f"fold of {year}": pd.Timestamp(f"{year}-04-01", tz="UTC") for year in (2014, 2015, 2015)}
    found = open_vintages(vintages, ends)
    assert [base.name for base in found.bases] == [f"{CHRONO}-20131231", f"{CHRONO}-20141231"]
    assert small.sent == {f"{CHRONO}-20131231", f"{CHRONO}-20141231"}
    assert [base.knowledge_cutoff for base in found.bases] == [last_instant("2013-12-31"), last_instant("2014-12-31")]
    assert all("model card" in base.source and base.revision == COMMIT for base in found.bases)
    assert found.before(last_instant("2014-12-31")).name.endswith("20131231"), "it must end before, not with"
    assert found.before(pd.Timestamp("2015-01-01", tz="UTC")).name.endswith("20141231")


def test_a_series_whose_architecture_is_code_is_refused_before_anybody_is_asked(serve, files):
    server, _ = serve(files)
    ends = {"fold 1 of 1": pd.Timestamp("2014-04-01", tz="UTC")}
    with pytest.raises(ConfigError, match=r"chrono-gpt-v1-20131231.*never run"):
        open_vintages(series_of("manelalab/chrono-gpt-v1"), ends)
    assert server.requests == []


def test_what_is_no_series_and_what_a_series_does_not_take(tmp_path, monkeypatch):
    assert series_of("minilm") is None
    assert series_of(f"{CHRONO}-20131231") is None, "a vintage is one base"
    assert series_of({"2013-12-31": "a"}) == {"2013-12-31": "a"}
    for given in ({"revision": COMMIT}, {"knowledge_cutoff": last_instant("2013-12-31")}):
        assert series_of("minilm", **given) is None
        with pytest.raises(ConfigError, match="belong to one base"):
            series_of(CHRONO, **given)
    (tmp_path / CHRONO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert series_of(CHRONO) is None, "a folder is taken for a base, whatever it is called"


@pytest.mark.parametrize("day", ["2013-12-31", "2015-12-31"])
def test_a_vintage_documented_under_another_day_is_refused(serve, files, day):
    server, _ = serve(files)
    ends = {"fold 1 of 1": pd.Timestamp("2019-04-01", tz="UTC")}
    with pytest.raises(ConfigError, match=f"dated {day}, and is documented to know text until 2014-12-31"):
        open_vintages({day: f"{CHRONO}-20141231"}, ends)
    assert server.requests == []


def test_no_vintage_old_enough_names_the_training_and_the_oldest():
    ends = {"the training of fold 1 of 2": pd.Timestamp("1999-12-31", tz="UTC")}
    with pytest.raises(
        ConfigError, match=rf"fold 1 of 2 ends at 1999-12-31.*oldest vintage, '{CHRONO}-19991231'.*none"
    ):
        open_vintages(series_of(CHRONO), ends)


def test_an_unknown_base_has_no_cutoff_until_one_is_declared(serve, files, monkeypatch):
    serve(files)
    monkeypatch.setattr("embargo.models.bases.resolve.known_base", lambda _: None)
    declared = pd.Timestamp("2024-01-01", tz="UTC")
    assert resolve_base(NAME, revision=COMMIT).knowledge_cutoff is None
    assert resolve_base(NAME, revision=COMMIT, knowledge_cutoff=declared).knowledge_cutoff == declared


def test_a_cutoff_earlier_than_documented_is_a_leak_before_anybody_is_asked(serve, files):
    server, _ = serve(files)
    with pytest.raises(LeakError):
        resolve_base(NAME, knowledge_cutoff=pd.Timestamp("2020-01-01", tz="UTC"))
    assert server.requests == []


def test_what_cannot_be_loaded_is_refused_before_the_weights_are_fetched(serve, files):
    _, small = serve({name: content for name, content in files.items() if not name.endswith(".safetensors")} | {
        "pytorch_model-00001-of-00002.bin": b"x"
    })  # fmt: skip
    with pytest.raises(MissingPartError, match="sharded pickles"):
        resolve_base(NAME)
    assert small.asked == []
    own = json.dumps({"model_type": "mine", "auto_map": {"AutoModel": "modeling.Mine"}}).encode()
    small.files = files | {"config.json": own}
    with pytest.raises(ConfigError, match="never run"):
        resolve_base(NAME)
    assert small.asked == ["config.json"]


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("RepoNotFound", MissingPartError, "no model that the hub shows"),
        ("GatedRepo", MissingPartError, "licence"),
        ("RevisionNotFound", MissingPartError, "no such revision"),
    ],
)
def test_the_hub_says_no(serve, code, error, words):
    server, _ = serve({})
    server._answer = lambda _: Answer(403 if code == "GatedRepo" else 404, headers={"X-Error-Code": code})
    with pytest.raises(error, match=words) as refusal:
        resolve_base(NAME)
    assert NAME in str(refusal.value)


def test_switched_off_is_said(serve, monkeypatch):
    from huggingface_hub import constants

    server, _ = serve({})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingPartError, match="HF_HUB_OFFLINE"):
        resolve_base(NAME)
    assert server.requests == []


def test_a_useless_cache_is_told_beside_the_missing_hub(serve, files, monkeypatch):
    from huggingface_hub import constants

    serve(files)
    (Path(resolve_base(NAME).path_or_id) / "model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingPartError, match=r"HF_HUB_OFFLINE.*cannot be used: .*no safetensors"):
        resolve_base(NAME, revision=COMMIT)


@pytest.mark.parametrize("fault", [Hang(), Reset(), ServerError(500)])
def test_a_hub_that_does_not_answer_is_named_in_time(serve, files, fault):
    server, _ = serve(files)
    server.fail(*[fault] * 20)
    started = time.monotonic()
    with pytest.raises(ServiceError, match=NAME):
        resolve_base(NAME)
    assert time.monotonic() - started < 8


def test_a_download_that_stalls_is_given_up_and_continued_next_time(serve, files):
    server, small = serve(files)
    server.fail(*[Hang()] * 20, when=lambda request: request.path.endswith("model.safetensors"))
    started = time.monotonic()
    with pytest.raises(ServiceError, match="base"):
        resolve_base(NAME)
    assert time.monotonic() - started < 12
    server.recover()
    assert resolve_base(NAME).revision == COMMIT
    assert small.asked.count("config.json") == 1


def test_a_download_cut_short_is_no_base(serve, files):
    server, _ = serve(files)
    base = resolve_base(NAME)
    weights = Path(base.path_or_id) / "model.safetensors"
    weights.resolve().unlink()
    weights.unlink()
    server.fail(Truncated(), when=lambda request: request.method == "GET" and request.path.endswith(".safetensors"))
    assert resolve_base(NAME).weights_hash == base.weights_hash
